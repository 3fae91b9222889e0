"""A sheet out, verdicts in."""

import csv
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tasks.audit.sheet import Shown, sheet_columns
from tasks.fashion.audit import WORN, look_sheet, read_looks
from tasks.fashion.audit_ledger import LookVerdict, LookVerdicts, add_look_verdicts, read_look_verdicts
from tasks.images.sheet import encode_png
from tasks.schema.errors import SourceError
from tasks.shards.store import Store

HOSTILE = 'b/"><script>alert(1)</script>,x'


def photo(name: str, shade: int = 90) -> Shown:
    told = {"image_id": f"runway_{shade:04d}", "image_path": f"{name}.png"}
    return Shown(name, told, encode_png(np.full((60, 40, 3), shade, np.uint8)))


def filled(path: Path, **said: str) -> Path:
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row |= {"garments": said.get(row["sample_id"], ""), "reviewer": "me"}
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, sheet_columns(("image_id", "image_path"), (WORN,)))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_there_and_back(tmp_path: Path) -> None:
    photos = [
        photo("a"),
        photo("b"),
        Shown("broken", {"image_id": "", "image_path": ""}, b"no picture"),
        photo("c"),
        photo("d"),
    ]
    assert look_sheet(tmp_path, photos, "Sheet") == 4
    assert sorted(each.name for each in (tmp_path / "thumbnails").iterdir()) == [f"000{i}.jpg" for i in range(1, 5)]
    path = filled(tmp_path / "audit.csv", a="top; pants", b="none", c=" ")
    verdicts = read_looks(path, {"a", "b", "c", "d"})
    assert verdicts == [
        LookVerdict(sample_id="a", garments=("pants", "top"), reviewer="me"),
        LookVerdict(sample_id="b", garments=(), reviewer="me"),
    ]
    store = Store(tmp_path / "store")
    assert add_look_verdicts(store, verdicts) == 2
    assert add_look_verdicts(store, verdicts) == 0
    assert add_look_verdicts(store, [LookVerdict(sample_id="b", garments=("bag",))]) == 1
    assert [v.garments for v in read_look_verdicts(store)] == [("pants", "top"), ("bag",)]
    assert LookVerdicts.of(read_look_verdicts(store)).config != LookVerdicts.of(()).config


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_spreadsheets_make_of_it_is_read(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "audit.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([("sample_id", "garments"), ("a", "top;bag"), ("b", "none")])
    assert [v.garments for v in read_looks(path, {"a", "b"})] == [("bag", "top"), ()]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "audit.csv"
    path.write_text("sample_id,garments,reviewer\na,trousers,\na,top,\nz,top,\nb,none;top,\n")
    with pytest.raises(SourceError) as caught:
        read_looks(path, {"a", "b"})
    told = str(caught.value)
    assert "4 faults" in told
    for part in ("line 2: 'trousers'", "line 3: 'a' stands in line 2", "line 4: no sample", "line 5: 'none'"):
        assert part in told
    path.write_text("sample_id,garments\n" + "z,top\n" * 50)
    with pytest.raises(SourceError, match="and 30 more"):
        read_looks(path, set())


@pytest.mark.parametrize("text", [b"", b"image,labels\na,top\n", b"sample_id,garments\n\xff\xfe,top\n"])
def test_what_is_no_sheet_is_told(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "audit.csv"
    path.write_bytes(text)
    with pytest.raises(SourceError, match=re.escape(str(path))):
        read_looks(path, {"a"})
    with pytest.raises(SourceError, match="cannot be read"):
        read_looks(tmp_path / "missing.csv", {"a"})


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_is_offline_and_names_stay_text(tmp_path: Path) -> None:
    look_sheet(tmp_path, [photo(HOSTILE)], "<i>Sheet</i>")
    page = Tags()
    page.feed((tmp_path / "audit.html").read_text())
    assert [tag for tag, _ in page.found].count("script") == 1
    assert "i" not in {tag for tag, _ in page.found}
    (fieldset,) = (attrs for tag, attrs in page.found if tag == "fieldset")
    assert fieldset["data-sample_id"] == HOSTILE
    assert all((attrs.get("src") or "data:").startswith("data:") for _, attrs in page.found)
    assert "default-src 'none'" in str(page.found)


@pytest.mark.slow
def test_the_browser_saves_the_same_table(tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium here")
    look_sheet(tmp_path, [photo(HOSTILE), photo("plain"), photo("later")], "Sheet")
    page = (tmp_path / "audit.html").read_text()
    ticking = """<script>
      reviewer.value = "A, B";
      const tick = (i, value) => photos[i].querySelector(`input[value="${value}"]`).click();
      tick(0, "none"); tick(0, "scarf/tie"); tick(0, "bag"); tick(1, "bag"); tick(1, "none");
      document.body.innerHTML = "<pre></pre>";
      document.querySelector("pre").textContent = btoa(table());
    </script></body>"""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page).replace("</body>", ticking)
    (tmp_path / "ticked.html").write_text(page)
    dumped = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"file://{tmp_path}/ticked.html"],
        capture_output=True, text=True, check=True, timeout=60, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    import base64

    found = re.search(r"<pre>([^<]*)</pre>", dumped.stdout)
    assert found is not None
    (tmp_path / "saved.csv").write_bytes(base64.b64decode(found[1]))
    assert read_looks(tmp_path / "saved.csv", {HOSTILE, "plain", "later"}) == [
        LookVerdict(sample_id=HOSTILE, garments=("bag", "scarf/tie"), reviewer="A, B"),
        LookVerdict(sample_id="plain", garments=(), reviewer="A, B"),
    ]
