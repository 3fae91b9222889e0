"""Everything outside of shards and builds, in one store."""

import json
import os
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from tasks.audit.ledger import AuditVerdict, add_audit_verdicts, read_audit_verdicts
from tasks.exports.previews import publish_previews
from tasks.fashion.audit_ledger import LookVerdict, add_look_verdicts, read_look_verdicts
from tasks.forget.doomed import Doomed
from tasks.forget.folders_fetched import out_of_reach
from tasks.forget.outside import erase_outside, names_of
from tasks.forget.outside_search import search_for
from tasks.identity.review_ledger import Verdict, add_verdicts, read_verdicts
from tasks.shards.numbers import assign, read_ledger
from tasks.shards.store import Store
from tests.exports.pose_shards import write_previews

GONE, KEPT = "photos/0123456789", "photos/abcdefabcd"
ADDRESS = "https://example.org/a/video.mp4"
DOOMED = Doomed(frozenset({GONE}), frozenset({GONE}), frozenset({ADDRESS}), frozenset())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with a line on each of two samples in every place."""
    store = Store(tmp_path / "store")
    assign(store, "pose_folders", "fashion", [KEPT, GONE])
    add_verdicts(store, [Verdict.of("same", GONE, KEPT), Verdict.of("remove", KEPT)])
    add_look_verdicts(store, [LookVerdict(sample_id=each, garments=("bag",)) for each in (GONE, KEPT)])
    said = {"flow": "webbody", "question": "right", "answer": "yes"}
    add_audit_verdicts(store, [AuditVerdict(sample_id=each, **said) for each in (GONE, KEPT)])
    publish_previews(
        store, [write_previews(tmp_path / "p.parquet", [GONE, KEPT])], dict.fromkeys((GONE, KEPT), "made://preview")
    )
    for name, text in (("a", GONE), ("b", KEPT), ("c" * 64, "no name")):
        page = store.root / "reports" / "webbody" / f"{name}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(f"<figcaption>{text}</figcaption>")
    fetched = store.root / "fetched" / sha256(ADDRESS.encode()).hexdigest()[:32] / "video.mp4"
    fetched.parent.mkdir(parents=True)
    fetched.write_bytes(b"a video")
    (store.root / "lists").mkdir()
    (store.root / "lists" / "0123.lst").write_text(f"0 a {ADDRESS}\n")
    store.tmp.mkdir(exist_ok=True)
    for name, age in (("old.part", 7200), ("new.part", 0)):
        (store.tmp / name).write_bytes(b"x")
        time = (store.tmp / name).stat().st_mtime - age
        os.utime(store.tmp / name, (time, time))
    own = tmp_path / "url.lst"
    own.write_text(f"{ADDRESS}\n")
    (store.root / "builds" / "webbody").mkdir(parents=True)
    said = {"config": {"sources": [{"location": str(own)}]}, "read": [{"path": "<store>/x.lst"}]}
    (store.root / "builds" / "webbody" / f"{'0' * 64}.build.json").write_text(json.dumps(said))
    return store


def review(store: Store) -> Path:
    """An audit sheet and a review of faces beside the exports, partly filled in."""
    top = store.root / "exports"
    sheet = top / "looks-audit-0123"
    (sheet / "thumbnails").mkdir(parents=True)
    tiles = []
    for number, sample_id in enumerate((GONE, KEPT), 1):
        (sheet / "thumbnails" / f"{number:04d}.jpg").write_bytes(sample_id.encode())
        picture = b64encode(sample_id.encode()).decode()
        tiles.append(
            f'<fieldset data-sample_id="{sample_id}"><img src="data:image/jpeg;base64,{picture}"></fieldset>\n'
        )
    (sheet / "audit.html").write_text(f'<body class="x" data-sheet="0123456789abcdef">{"".join(tiles)}</body>')
    lines = [f"{sample_id};thumbnails/{n:04d}.jpg;bag" for n, sample_id in enumerate((GONE, KEPT), 1)]
    (sheet / "audit.csv").write_text("\r\n".join(["\ufeffsample_id;thumbnail;garments", *lines]) + "\r\n")
    faces = top / "webbody" / "review" / "label_studio-0"
    (faces / "pictures").mkdir(parents=True)
    for doubt in ("d1", "d2"):
        for side in "ab":
            (faces / "pictures" / f"{doubt}_{side}.jpg").write_bytes(b"x")
    (faces / "tasks.json").write_text(json.dumps([{"data": {"doubt_id": doubt}} for doubt in ("d1", "d2")]))
    (faces / "doubts.csv").write_text(f"doubt_id,face_a,face_b,verdict\nd1,{KEPT},{GONE},\nd2,{KEPT},x,same\n")
    return top


def test_one_sample_leaves_every_place_and_the_other_stays(store: Store) -> None:
    exports = review(store)
    told = out_of_reach(store, DOOMED, names_of(store, DOOMED))
    assert [each.split()[0:2] for each in told] == [["The", "list"]]
    erased = {each.place: each for each in erase_outside(store, DOOMED, builds={"c" * 64: "d" * 64})}
    assert {place: each.things for place, each in erased.items()} == {
        "exports": 0,
        "audit sheets and reviews": 7,
        "reports": 2,
        "previews": 3,
        "downloads": 3,
        "database": 0,
        "ledgers": 4,
    }
    needles = [GONE.encode(), ADDRESS.encode(), b64encode(GONE.encode())]
    assert search_for([path for path in store.root.iterdir() if path.name != "builds"], needles) == ()
    assert read_verdicts(store) == (Verdict.of("remove", KEPT),)
    assert [each.sample_id for each in read_look_verdicts(store)] == [KEPT]
    assert [each.sample_id for each in read_audit_verdicts(store, "webbody")] == [KEPT]
    assert (exports / "looks-audit-0123/audit.csv").read_bytes().decode().splitlines() == [
        "\ufeffsample_id;thumbnail;garments",
        f"{KEPT};thumbnails/0002.jpg;bag",
    ]
    page = (exports / "looks-audit-0123/audit.html").read_text()
    assert (page.count("<fieldset"), "0123456789abcdef" in page) == (1, False)
    assert (exports / "webbody/review/label_studio-0/doubts.csv").read_text().splitlines()[1:] == [f"d2,{KEPT},x,same"]
    assert [path.name for path in store.tmp.iterdir()] == ["new.part"]
    assert len(list((store.root / "public/pose_templates").iterdir())) == 3
    again = erase_outside(store, DOOMED, builds={"c" * 64: "d" * 64})
    assert {each.things for each in again} == {0}


def test_a_number_is_never_given_again_and_still_names_its_files(store: Store) -> None:
    erase_outside(store, DOOMED)
    given = read_ledger(store, "pose_folders")["fashion"]
    assert (given[KEPT], len(given), GONE in given) == (0, 2, False)
    assert assign(store, "pose_folders", "fashion", [KEPT, "photos/new"]) == {KEPT: 0, "photos/new": 2}
    assert "fashion_0001" in names_of(store, DOOMED).files
    assert "fashion_0000" not in names_of(store, DOOMED).files


def test_a_damaged_ledger_is_told(store: Store) -> None:
    path = store.root / "verdicts" / "looks" / "000001.json"
    path.write_text("{}")
    (ledgers,) = [each for each in erase_outside(store, DOOMED) if each.place == "ledgers"]
    assert ledgers.problems == (f"{path} is damaged: restore it from a backup.",)
    assert ledgers.things == 3
