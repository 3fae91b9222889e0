"""What `tasks/planning/shipped.py` holds: what small builds of all flows took on this machine, a line a stage.

    python -m tests.lineage.remake_builds STORE
    python -m tests.benchmarks.bench_planning STORE

MANNEQUIN_REAL_DATA names real photos, videos and weights. WebBody is built once more, of more photos in several parts,
so that loading the models does not count.
"""

import os
import sys
from pathlib import Path

from tasks.planning.costs import costs_of
from tasks.planning.shapes import SHAPES
from tests.download.url_server import UrlServer
from tests.lineage.remake_builds import machine, web_form, webbody

PHOTOS = 96


def photos_of(real: Path) -> dict[str, bytes]:
    """Name -> bytes of photos of people, one of each in turn."""
    people = sorted((real / "identities" / "lfw").iterdir())
    each = [sorted(person.glob("*.jpg")) for person in people]
    turns = [photos[turn] for turn in range(max(map(len, each))) for photos in each if turn < len(photos)]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in turns[:PHOTOS]}


def main(folder: str) -> None:
    top, real = Path(folder).resolve(), Path(os.environ["MANNEQUIN_REAL_DATA"])
    here = machine(top, top / "sources" / "looks" / "models")
    with UrlServer() as server:
        form = web_form(top / "sources", real, server)
        server.files = photos_of(real)
        lines = [f"{n} {name.split('/')[0]} {server.url(f'/file/{name}')}" for n, name in enumerate(server.files)]
        (top / "sources" / "web.lst").write_text("\n".join(lines) + "\n")
        webbody(here, form)
    for flow in SHAPES:
        costs = costs_of(here.store, flow)
        print(f'    _flow("{flow}", {costs.items}, {costs.minutes},')
        for each in costs.stages:
            took = None if each.seconds is None else round(each.seconds, 3)
            print(
                f'        ("{each.stage}", {each.shards}, {each.rows_in}, {each.rows_out}, {each.rejected}, '
                f"{each.bytes}, {took}, {each.fixed_bytes}),"
            )
        print("    ),")


if __name__ == "__main__":
    main(*sys.argv[1:])
