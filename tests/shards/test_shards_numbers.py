"""Numbers are given once, whatever happens."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.schema.errors import ConfigError, StoreError
from tasks.shards.numbers import assign, ledgers, number_name, read_ledger
from tasks.shards.store import Store
from tests.shards.faulty_files import CountingFiles, ForgetfulFiles, KilledFiles, PowerLossError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_numbers_follow_the_order_and_stay(store: Store) -> None:
    assert assign(store, "poses", "fashion", ["b", "a", "b"]) == {"b": 0, "a": 1}
    assert assign(store, "poses", "fashion", ["c", "a"]) == {"c": 2, "a": 1}
    assert assign(store, "poses", "sports", ["a"]) == {"a": 0}
    assert assign(store, "poses", "fashion", []) == {}
    assert read_ledger(store, "poses") == {"fashion": {"b": 0, "a": 1, "c": 2}, "sports": {"a": 0}}
    assert ledgers(store) == ["poses"]
    assert [p.name for p in sorted((store.root / "ledgers/poses").iterdir())] == [f"{n:06d}.json" for n in (1, 2, 3)]
    assert not list(store.tmp.iterdir())


def test_four_digits_grow() -> None:
    assert [number_name("fashion", n) for n in (0, 9999, 10000)] == ["fashion_0000", "fashion_9999", "fashion_10000"]


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", "x" * 65])
def test_names_stay_inside(store: Store, name: str) -> None:
    with pytest.raises(ConfigError, match="lower-case"):
        assign(store, name, "fashion", ["a"])
    with pytest.raises(ConfigError, match="lower-case"):
        assign(store, "poses", name, ["a"])


@pytest.mark.parametrize("harm", ["lost", "torn", "edited"])
def test_a_damaged_ledger_is_never_guessed(store: Store, harm: str) -> None:
    for i in range(3):
        assign(store, "poses", "fashion", [f"s{i}"])
    path = store.root / "ledgers/poses/000002.json"
    said = json.loads(path.read_bytes())
    if harm == "lost":
        path.unlink()
    elif harm == "torn":
        path.write_bytes(path.read_bytes()[:20])
    else:
        path.write_text(json.dumps(said | {"sample_ids": ["other"]}))
    with pytest.raises(StoreError, match=r"restore .*000002\.json"):
        assign(store, "poses", "fashion", ["s9"])


def test_a_hundred_thousand_are_fast(store: Store) -> None:
    ids = [f"fashion/{i:08d}" for i in range(100_000)]
    started = time.perf_counter()
    numbers = assign(store, "poses", "fashion", ids)
    again = assign(store, "poses", "fashion", ids)
    assert time.perf_counter() - started < 5
    assert list(numbers.values()) == list(range(100_000))
    assert again == numbers


def kill_everywhere(top: str) -> None:
    """Run in a fresh interpreter, which has no threads to lose when it forks."""
    counting = CountingFiles()
    assign(Store(Path(top) / "calm", counting), "poses", "fashion", ["a", "b"])
    assert len(counting.log) > 5
    for at in range(len(counting.log)):
        for when in ("before", "after"):
            root = Path(top) / f"{at}-{when}"
            child = os.fork()
            if child == 0:
                assign(Store(root, KilledFiles(at, when)), "poses", "fashion", ["a", "b"])
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
            assert assign(Store(root), "poses", "fashion", ["a", "b", "c"]) == {"a": 0, "b": 1, "c": 2}


def test_killed_at_every_write_point(tmp_path: Path) -> None:
    code = f"from tests.shards.test_shards_numbers import kill_everywhere as k; k({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True, timeout=60)


def test_numbers_that_were_told_survive_a_power_loss(tmp_path: Path) -> None:
    for at in range(20):
        for seed in range(3):
            root = tmp_path / f"{at}-{seed}"
            files = ForgetfulFiles(at, seed)
            told: dict[str, int] = {}
            try:
                for batch in (["a", "b"], ["c"], ["d", "a"]):
                    told |= assign(Store(root, files), "poses", "fashion", batch)
            except PowerLossError:
                pass
            after = assign(Store(root), "poses", "fashion", ["z", "d", "c", "b", "a"])
            assert told.items() <= after.items()
            assert len(set(after.values())) == len(after)


def test_writers_at_once_never_share_a_number(store: Store) -> None:
    code = (
        "import sys, pathlib\n"
        "from tasks.shards.numbers import assign\n"
        "from tasks.shards.store import Store\n"
        "me, root = int(sys.argv[1]), pathlib.Path(sys.argv[2])\n"
        "for i in range(60):\n"
        "    ids = [f's{i}-{k}' for k in range(me, me + 3)]\n"
        "    given = assign(Store(root), 'poses', 'fashion', ids)\n"
        "    print(*(f'{k}={v}' for k, v in given.items()))\n"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(me), str(store.root)], stdout=subprocess.PIPE, text=True)
        for me in range(3)
    ]
    told: dict[str, set[int]] = {}
    for run in runs:
        out, _ = run.communicate(timeout=60)
        assert run.returncode == 0
        for pair in out.split():
            sample_id, number = pair.split("=")
            told.setdefault(sample_id, set()).add(int(number))
    assert all(len(numbers) == 1 for numbers in told.values())
    assert sorted(n for numbers in told.values() for n in numbers) == list(range(60 * 5))
