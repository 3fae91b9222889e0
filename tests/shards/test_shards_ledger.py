"""What a ledger of any kind promises; its two users test the rest."""

import json
from pathlib import Path

import pytest

from tasks.fashion.audit_ledger import LookVerdict, add_look_verdicts, read_look_verdicts
from tasks.identity.review_ledger import Verdict, add_verdicts, read_verdicts
from tasks.schema.errors import ConfigError, StoreError
from tasks.shards.numbers import assign
from tasks.shards.store import Store
from tests.shards.faulty_files import ForgetfulFiles, PowerLossError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_files_read_as_they_always_did(store: Store) -> None:
    add_verdicts(store, [Verdict.of("remove", "a", reviewer="me")])
    assign(store, "poses", "fashion", ["a"])
    faces, poses = (store.root / f"{name}/000001.json" for name in ("verdicts/faces", "ledgers/poses"))
    assert faces.read_text() == (
        '{\n"verdicts": [\n{\n"face_a": "a",\n"face_b": null,\n"verdict": "remove",\n"reviewer": "me"\n}\n],\n'
        '"sha256": "753fbdfbb8b8c6d277d6e1c8268f225d0a563f510a697572baeac27cc37fcce3"\n}'
    )
    assert poses.read_text() == (
        '{\n"prefix": "fashion",\n"first": 0,\n"sample_ids": [\n"a"\n],\n'
        '"sha256": "898078af21dfc43baffad5090e4bf4e92501f274ec4c52f679325d31e8c1a9d9"\n}'
    )


def test_ledgers_of_different_names_are_apart(store: Store) -> None:
    assert add_look_verdicts(store, [LookVerdict(sample_id="a", garments=("top", "bag"))]) == 1
    assert add_verdicts(store, [Verdict.of("remove", "a")]) == 1
    assert read_look_verdicts(store) == (LookVerdict(sample_id="a", garments=("bag", "top")),)
    assert [verdict.face_a for verdict in read_verdicts(store)] == ["a"]
    with pytest.raises(ConfigError, match="short lower-case"):
        add_look_verdicts(store, [], "../up")


def test_a_ledger_of_something_else_is_damaged(store: Store) -> None:
    add_verdicts(store, [Verdict.of("remove", "a")], ledger="looks")
    with pytest.raises(StoreError, match=r"restore .*000001\.json"):
        read_look_verdicts(store)


def test_verdicts_that_were_told_survive_a_power_loss(tmp_path: Path) -> None:
    for at in range(16):
        store = Store(tmp_path / str(at), ForgetfulFiles(at, seed=at))
        told: set[str] = set()
        try:
            for name in "abc":
                add_look_verdicts(store, [LookVerdict(sample_id=name, garments=())])
                told.add(name)
        except PowerLossError:
            pass
        after = Store(store.root)
        assert told <= {verdict.sample_id for verdict in read_look_verdicts(after)}
        assert add_look_verdicts(after, [LookVerdict(sample_id="z", garments=())]) == 1


def test_a_digest_covers_what_is_said(store: Store) -> None:
    add_look_verdicts(store, [LookVerdict(sample_id="a", garments=())])
    path = store.root / "verdicts/looks/000001.json"
    said = json.loads(path.read_text())
    said["verdicts"][0]["garments"] = ["dress"]
    path.write_text(json.dumps(said))
    with pytest.raises(StoreError, match="restore"):
        read_look_verdicts(store)
