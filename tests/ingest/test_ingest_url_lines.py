"""Many lines at once give what each line by itself gives."""

import itertools
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.ingest import url_lines
from tasks.ingest.url_entries import FIELD_BYTES, Entry, Malformed, entry, surely_good, surely_good_if_printable
from tasks.ingest.url_layouts import read_line, reader_of
from tasks.ingest.url_lines import line_blocks, parse_lines
from tasks.schema.url_sources import UrlFormat, UrlLayout

LAYOUTS = [
    UrlLayout(format=UrlFormat.LST),
    UrlLayout(format=UrlFormat.CSV, width=3, idx=0, label=1, url=2),
    UrlLayout(format=UrlFormat.CSV, width=4, url=1, label=0),
    UrlLayout(format=UrlFormat.CSV, width=1, url=0),
    UrlLayout(format=UrlFormat.TSV, width=3, idx=2, label=1, url=0),
    UrlLayout(format=UrlFormat.JSONL, url="url", label="label", idx="idx"),
]

GOOD = ("http://h/1", "https://a.b-c.d/x?y=1#z", "http://h", "HTTPS://h/", "http://u:p@h:80/", "http://[::1]/")
FIELDS = st.one_of(
    st.sampled_from(GOOD),
    st.sampled_from(
        ("", " ", "a", "17", "é", "a b", '"a"', '"a,b"', "http://", "ftp://h/", "nan", "http://h/ ", "\x1b")
    ),
    st.sampled_from(("\x85", "http://h/é", "http://hé/", "x" * (FIELD_BYTES + 1), "http://h/" + "x" * FIELD_BYTES)),
)
LINES = st.one_of(
    st.tuples(st.lists(FIELDS, max_size=4), st.sampled_from((" ", "\t", ",", "  "))).map(
        lambda made: made[1].join(made[0]).encode()
    ),
    st.sampled_from(
        (b'{"url": "http://h/1", "idx": 1.50}', b'{"url": 1}', b"{}", b"\xff http://h/", b"1\xff,,http://h/")
    ),
    st.binary(max_size=12).map(lambda data: data.replace(b"\n", b"")),
)


def exactly(line: bytes, layout: UrlLayout) -> Entry | Malformed | None:
    return read_line(line.removesuffix(b"\r"), reader_of(layout))


@settings(deadline=None, max_examples=80)
@given(
    st.lists(LINES, min_size=1, max_size=12), st.sampled_from(LAYOUTS), st.booleans(), st.sampled_from((b"\n", b"\r\n"))
)
def test_a_block_is_its_lines(lines: list[bytes], layout: UrlLayout, ended: bool, end: bytes) -> None:
    data = (end.join(lines) + end * ended) or end
    wanted = [exactly(line, layout) for line in data.removesuffix(b"\n").split(b"\n")]
    rows, edges = parse_lines(data, layout)
    entries = {row: Entry(idx, label, url) for row, idx, label, url in rows.entries.iter_rows()}
    assert [entries.get(row) or rows.malformed.get(row) for row in range(rows.count)] == wanted
    assert not entries.keys() & rows.malformed.keys()
    assert list(entries) == sorted(entries)
    starts = [0, *(at + 1 for at in range(len(data)) if data[at] == ord("\n"))]
    assert edges.tolist() == (starts if data.endswith(b"\n") else [*starts, len(data)])


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.none() | FIELDS | st.text(max_size=5), st.text(max_size=5), FIELDS | st.text()), min_size=1)
)
def test_the_sieve_lets_nothing_pass_that_would_be_refused(rows: list[tuple[str | None, str, str]]) -> None:
    bare = [tuple((field or "").strip(" \t\r\n") for field in row) for row in rows]
    schema = pl.Schema(dict.fromkeys(("idx", "label", "url"), pl.String))
    frame = pl.DataFrame([(idx or None, label, url) for idx, label, url in bare], schema, orient="row")
    passed = frame.select(sure=surely_good(), plain=surely_good_if_printable()).rows()
    for (idx, label, url), (sure, plain) in zip(bare, passed, strict=True):
        said = f"{idx}{label}{url}"
        printable = len(said) <= FIELD_BYTES and " " not in url and all(" " <= character <= "~" for character in said)
        if sure or (plain and printable):
            assert entry(idx, label, url) == Entry(idx or None, label, url)


@pytest.mark.parametrize("layout", LAYOUTS[:1] + LAYOUTS[2:3] + LAYOUTS[4:5], ids=lambda layout: layout.format)
def test_plain_lines_are_never_read_one_by_one(layout: UrlLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a list would take ten times as long."""
    texts = {
        UrlFormat.LST: "7 Ann http://h/1\r\n8 Ann Lee http://h/1\n9 http://h/2\nhttp://h/3\n9 Zoë http://h/2\n9\tÄ\thttp://h/2\n",
        UrlFormat.CSV: " Ann ,http://h/1,,\nZoë,http://h/2,x,\n",
        UrlFormat.TSV: "http://h/1\t\t7\nhttp://h/1\tAnn \t\n",
    }
    monkeypatch.setattr(url_lines, "read_line", lambda line, read: pytest.fail(f"{line!r} was read by itself"))
    text = texts[layout.format]
    rows, _ = parse_lines(text.encode(), layout)
    assert len(rows.entries) == rows.count == text.count("\n")


def test_blocks_end_with_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(url_lines, "BLOCK_BYTES", 16)
    lines = [b"short", b"", b"0123456789abcde", b"x" * 70, b"y" * 16, b"z" * 15, b"end"]
    data = b"??" + b"\n".join(lines)
    (tmp_path / "a").write_bytes(data)
    descriptor = os.open(tmp_path / "a", os.O_RDONLY)
    try:
        blocks = list(line_blocks(descriptor, 2, len(data)))
        assert (blocks[0].start, blocks[-1].stop) == (2, len(data))
        assert all(before.stop == after.start for before, after in itertools.pairwise(blocks))
        for block in blocks:
            told = b"".join(bytes(piece) for piece in block.bytes_between(block.start, block.stop))
            assert told == data[block.start : block.stop]
            assert block.data in (told, b"")
            assert block.data or told.strip(b"\n") in (b"x" * 70, b"y" * 16)
        assert list(line_blocks(descriptor, len(data), len(data) + 9)) == []
    finally:
        os.close(descriptor)


def test_edges_of_a_block_are_places_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"head\n1 a http://h/1\n\n2 b http://h/2")
    descriptor = os.open(tmp_path / "a", os.O_RDONLY)
    try:
        (block,) = line_blocks(descriptor, 5, 100)
        rows, edges = block.parse(LAYOUTS[0])
    finally:
        os.close(descriptor)
    assert np.array_equal(edges, [5, 20, 21, 35])
    assert (rows.count, rows.blank) == (3, 1)
    assert (rows.until(2).count, len(rows.until(2).entries), rows.until(2).blank) == (2, 1, 1)
