"""Rows of the flows that run models, made again: one of every output, and the joined stages in whole."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.lineage.remake import remake_row
from tasks.lineage.remake_flows import open_build
from tasks.lineage.remake_result import Outcome
from tasks.machine.places import Machine
from tasks.shards.manifest import Manifest
from tests.download.url_server import UrlServer
from tests.fashion.coloured_looks import write_looks
from tests.lineage.remake_builds import dance_form, machine, music_to_pose, runway_street, web_form, webbody
from tests.patches.patch_trees import contents

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

JOINED = {"groups", "classifier", "trends", "look_verdicts", "split"}
WEB_JOINED = {"neighbours", "identities", "clean", "members"}


def outcomes(here: Machine, manifest: Manifest, *, whole: bool) -> dict[str, set[Outcome]]:
    """By stage, what became of the last row of every output."""
    build = open_build(here, manifest.flow, manifest.digest)
    before = contents(here.store.root)
    found: dict[str, set[Outcome]] = {}
    for shard in manifest.shards:
        path = here.store.folder(shard.stage, shard.key) / shard.data.name
        if shard.data.rows:
            sample_id = pq.read_table(path, columns=["sample_id"])["sample_id"][-1].as_py()
            remade = remake_row(build, build.node(shard.stage, shard.key), sample_id, whole=whole)
            for each in remade.stages:
                found.setdefault(each.stage, set()).add(each.outcome)
    assert contents(here.store.root) == before
    return found


def test_looks(tmp_path: Path) -> None:
    form = write_looks(tmp_path / "looks", street=10, runway=3)
    here = machine(tmp_path / "store", tmp_path / "looks" / "models")
    manifest = runway_street(here, form)
    for whole, joined in ((False, Outcome.TAKEN_OVER), (True, Outcome.EQUAL)):
        found = outcomes(here, manifest, whole=whole)
        assert found.keys() >= {"looks", "inspect", "labels", "embed", "groups", "classifier", "predict", "trends"}
        expected = {stage: {joined if stage in JOINED else Outcome.EQUAL} for stage in found}
        assert found == expected


@pytest.mark.real
def test_faces(tmp_path: Path, real_data: Path) -> None:
    here = machine(tmp_path / "store", real_data / "models")
    with UrlServer() as server:
        form = web_form(tmp_path, real_data, server)
        manifest = webbody(here, form)
    found = outcomes(here, manifest, whole=False)
    taken = {stage for stage, each in found.items() if each == {Outcome.TAKEN_OVER}}
    assert taken == {"download", *WEB_JOINED} & found.keys()
    assert {each for stage in found.keys() - taken for each in found[stage]} <= {Outcome.EQUAL, Outcome.WITHIN}
    whole = outcomes(here, manifest, whole=True)
    assert all(whole[stage] == {Outcome.EQUAL} for stage in WEB_JOINED & found.keys())


@pytest.mark.real
def test_embeddings_that_were_erased_are_made_again(tmp_path: Path, real_data: Path) -> None:
    here = machine(tmp_path / "store", real_data / "models")
    with UrlServer() as server:
        form = web_form(tmp_path, real_data, server)
        form["recognition"]["keep_embeddings"] = False
        manifest = webbody(here, form)
    build = open_build(here, "webbody")
    shard = next(shard for shard in manifest.shards if shard.stage == "identities")
    path = here.store.folder("identities", shard.key) / shard.data.name
    sample_id = pq.read_table(path)["sample_id"][0].as_py()
    remade = remake_row(build, build.node("identities", shard.key), sample_id)
    assert [(each.stage, each.outcome) for each in remade.stages][-3:] == [
        ("recognise", Outcome.ERASED),
        ("gate", Outcome.ERASED),
        ("identities", Outcome.TAKEN_OVER),
    ]


@pytest.mark.real
def test_clips(tmp_path: Path, real_data: Path) -> None:
    here = machine(tmp_path / "store", real_data / "models")
    manifest = music_to_pose(here, dance_form(tmp_path, real_data, "aist_d2m_high2_2s"))
    build = open_build(here, "music_to_pose")
    (shard,) = [shard for shard in manifest.shards if shard.stage == "split"]
    path = here.store.folder("split", shard.key) / shard.data.name
    sample_id = pq.read_table(path)["sample_id"][0].as_py()
    remade = remake_row(build, build.node("split", shard.key), sample_id, whole=True)
    made = ["dance", "clips", "cut_clips", "poses", "reference", "music", "audit", "split"]
    assert [(each.stage, each.outcome) for each in remade.stages] == [(stage, Outcome.EQUAL) for stage in made]
