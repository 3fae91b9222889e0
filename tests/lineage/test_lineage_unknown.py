"""What was forgotten, and controls, are told as such, and nothing more is told of them."""

from pathlib import Path

import pytest

from tasks.lineage.explain import explain
from tasks.lineage.find import SampleNotFoundError
from tasks.lineage.remake import remake_sample
from tasks.shards.derive import realise
from tasks.shards.store import Store
from tasks.shards.tombstones import add_tombstones
from tests.lineage.remake_builds import machine
from tests.lineage.told_store import publish
from tests.shards.sample_stages import build


def test_what_was_forgotten(tmp_path: Path) -> None:
    here = machine(tmp_path)
    add_tombstones(here.store, ["web/gone"], ["http://photos.example/gone.jpg"], [])
    publish(here.store, "first", all=[build(parts=1, rows=2)])
    for query in ("web/gone", "web/gone/p0/f1", "http://photos.example/gone.jpg"):
        with pytest.raises(SampleNotFoundError, match=f"^{query} was forgotten on request, and is kept out"):
            explain(here.store, query)
    with pytest.raises(SampleNotFoundError, match="was forgotten on request"):
        remake_sample(here, "web/gone")
    with pytest.raises(SampleNotFoundError, match="knows no 'web/gon'"):
        explain(here.store, "web/gon")


def test_under_its_salted_name_the_reason_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add_tombstones(store, ["s0-000001"], [], [])
    publish(store, "first", all=[build(parts=1, rows=2)])
    with pytest.raises(SampleNotFoundError, match="was forgotten"):
        explain(store, "s0-000001")
    told = explain(store, "forgotten-").story
    assert told is not None
    assert told.dropped is not None
    assert (told.dropped.stage, told.dropped.reason, told.origin.source_uri) == ("make", "forgotten", "")


def test_controls(tmp_path: Path) -> None:
    store = Store(tmp_path)
    realise(build(parts=1, rows=2), store)
    realise(build(parts=2, rows=2), Store(tmp_path / "controls" / "webbody" / "0123456789abcdef"))
    with pytest.raises(SampleNotFoundError, match="s1-000001 is a control of webbody: a sample of known truth"):
        explain(store, "s1-000001")
