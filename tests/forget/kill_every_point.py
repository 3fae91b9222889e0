"""Kills a forget at its write points, just before and just after each, and compares what the next call leaves.

python -m tests.forget.kill_every_point FOLDER [FIRST STEP]
"""

import shutil
import sys
from pathlib import Path

from tasks.forget.carry_out import carry_out
from tasks.forget.outside_search import search_for
from tasks.forget.plan import plan_forget
from tasks.schema.ids import template_id
from tasks.shards.store import Store
from tasks.shards.tombstones import read_salt
from tests.forget.forget_builds import GOES, build, killed_and_finished, lasting, outside, points, show


def main(folder: str, first: str = "0", step: str = "1") -> None:
    """Print how many kills there were; exit status 1 where an end differs."""
    top = Path(folder)
    finished = Store(top / "finished")
    build(finished)
    show(finished)
    read_salt(finished)
    calm = Store(Path(shutil.copytree(finished.root, top / "calm")))
    carry_out(calm, plan_forget(calm, [GOES]), outside(calm))
    assert not search_for([calm.root], [GOES.encode(), template_id(GOES).encode()])
    expected, wrong, count = lasting(calm.root), [], points(finished.root, top)
    every = [(at, when) for at in range(int(first), count, int(step)) for when in ("before", "after")]
    for at, when in every:
        found = killed_and_finished(finished.root, top, at, when)
        wrong += [f"{when} {at}: {name}" for name in expected.keys() | found.keys()
                  if expected.get(name) != found.get(name)]  # fmt: skip
    print(f"{len(every)} kills at {count} write points, {len(wrong)} files differ {wrong[:5]}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])
