"""Lists of URLs from listing to shard: rows, parts, repeats, growth, change."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.ingest.hub import HubAccess
from tasks.ingest.url_lists import IngestUrls, list_urls
from tasks.schema.errors import ConfigError, SourceError
from tasks.schema.rejections import Reason
from tasks.schema.url_sources import UrlColumns, UrlFormat, UrlListing
from tasks.shards.derive import Derivation, realise
from tasks.shards.stage import stage_key
from tasks.shards.store import Store
from tests.ingest.url_rows import ingest_urls, source

EXAMPLE = Path(__file__).parents[1] / "data" / "urls" / "url.lst"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def write(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def lines(count: int, start: int = 0) -> str:
    return "".join(f"{i} label_{i % 7} http://host{i % 3}.example/{i}.jpg\n" for i in range(start, start + count))


def keys(wanted, listing: UrlListing) -> list[str]:  # type: ignore[no-untyped-def]
    return [stage_key(IngestUrls.of(wanted, listing, part), (), ()) for part in listing.parts]


def test_a_list_becomes_a_shard_and_its_rejects(store: Store) -> None:
    wanted = source(EXAMPLE, licence="CC0")
    listing = list_urls(wanted, HubAccess(), store, part_rows=10)
    record = realise(Derivation(IngestUrls.of(wanted, listing, listing.parts[0])), store).record
    assert (record.rows_in, record.rows_kept) == (5, 3)
    assert record.rejected == {"duplicate_exact": 1, "url_malformed": 1}
    assert record.facts == {"blank_lines": 0}
    assert str(EXAMPLE.parent) not in record.model_dump_json()


def test_rows_and_rejections(store: Store) -> None:
    made = ingest_urls(source(EXAMPLE, licence="CC0"), store)
    assert made.triples == [
        ("0", "Ada_Lovelace", "http://photos.example/ada/1.jpg"),
        ("1", "Ada_Lovelace", "http://photos.example/ada/2.jpg"),
        ("2", "Grace Hopper", "https://photos.example/grace.jpg?w=640"),
    ]
    first = made.kept[0]
    assert first["sample_id"].startswith("web/")
    assert len(first["sample_id"]) == len("web/") + 24
    assert (first["parent_id"], first["licence"], first["source_uri"]) == (None, "CC0", first["url"])
    again, malformed = made.rejected
    assert (again.sample_id, again.reason, again.source_uri) == (
        "web/line-4",
        Reason.DUPLICATE_EXACT,
        "urls://web#line=4",
    )
    assert again.detail == "The same label and URL as line 1."
    assert json.loads(again.evidence or "") == {"sample_id": first["sample_id"]}
    assert (malformed.sample_id, malformed.reason) == ("web/line-5", Reason.URL_MALFORMED)
    assert malformed.detail == "Line 5: the URL is neither http nor https: '4 Nobody ftp://photos.example/x.jpg'"


def test_ids_come_from_label_and_url_alone(tmp_path: Path, store: Store) -> None:
    here = ingest_urls(source(write(tmp_path / "a.lst", "1 a http://x.y/1\n2 b http://x.y/1\n")), store)
    there = ingest_urls(
        source(write(tmp_path / "b.csv", "url,label,idx\nhttp://x.y/1,b,77\nhttp://x.y/1,a,8\n")), store
    )
    assert [row["sample_id"] for row in here.kept] == [row["sample_id"] for row in there.kept[::-1]]
    assert len({row["sample_id"] for row in here.kept}) == 2


@pytest.mark.parametrize("part_rows", [1, 3, 7, 100])
def test_parts_do_not_change_rows(tmp_path: Path, store: Store, part_rows: int) -> None:
    text = lines(10) + "\nbad\n" + lines(12, 4) + "  \n9 x HTTP://host/\n"
    whole = ingest_urls(source(write(tmp_path / "a.lst", text)), store)
    parts = ingest_urls(source(tmp_path / "a.lst"), store, part_rows)
    assert (parts.kept, parts.rejected) == (whole.kept, whole.rejected)
    assert parts.blank == 2
    assert whole.listing.repeated == 6


def test_a_list_that_grows_keeps_its_parts(tmp_path: Path, store: Store) -> None:
    text = lines(10) + lines(3) + lines(10, 20)
    path = write(tmp_path / "a.lst", text)
    wanted = source(path)
    before = keys(wanted, list_urls(wanted, HubAccess(), store, 4))
    write(path, text + lines(30, 10))
    after = keys(wanted, list_urls(wanted, HubAccess(), store, 4))
    assert len(before) == 6
    assert after[:5] == before[:5]
    assert after[5] != before[5]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_full_last_part_does_not_mind_a_missing_line_feed(tmp_path: Path, store: Store, end: str) -> None:
    text = lines(8).replace("\n", end)
    path = write(tmp_path / "a.lst", text.rstrip())
    wanted = source(path)
    before = list_urls(wanted, HubAccess(), store, 4)
    write(path, text + lines(1, 8))
    after = list_urls(wanted, HubAccess(), store, 4)
    assert keys(wanted, after)[:2] == keys(wanted, before)
    assert [part.model_copy(update={"size": 0}) for part in after.parts[:2]] == [
        part.model_copy(update={"size": 0}) for part in before.parts
    ]


def test_where_a_list_lies_is_no_part_of_the_key(tmp_path: Path, store: Store) -> None:
    here = source(write(tmp_path / "a.lst", lines(5)))
    there = source(write(tmp_path / "elsewhere" / "b.txt", lines(5)))
    packed = source(write(tmp_path / "c.lst.gz", gzip.compress(lines(5).encode())))
    found = [keys(wanted, list_urls(wanted, HubAccess(), store, 3)) for wanted in (here, there, packed)]
    assert found[0] == found[1] == found[2]


def test_a_changed_line_changes_its_part_alone(tmp_path: Path, store: Store) -> None:
    path = write(tmp_path / "a.lst", lines(9))
    wanted = source(path)
    before = keys(wanted, list_urls(wanted, HubAccess(), store, 3))
    write(path, lines(9).replace("/4.jpg", "/a-longer-name.jpg"))
    after = keys(wanted, list_urls(wanted, HubAccess(), store, 3))
    assert [a == b for a, b in zip(after, before, strict=True)] == [True, False, True]


@pytest.mark.parametrize("change", ["edit", "cut", "gone"])
def test_a_list_that_changes_after_listing(tmp_path: Path, store: Store, change: str) -> None:
    path = write(tmp_path / "a.lst", lines(9))
    wanted = source(path)
    listing = list_urls(wanted, HubAccess(), store, 5)
    if change == "gone":
        path.unlink()
    else:
        write(path, lines(9).replace("/7.jpg", "/8.jpg") if change == "edit" else lines(7))
    with pytest.raises(SourceError, match="List the source again"):
        realise(Derivation(IngestUrls.of(wanted, listing, listing.parts[1])), store)
    if change != "gone":
        assert realise(Derivation(IngestUrls.of(wanted, listing, listing.parts[0])), store).record.rows_kept == 5


def test_repeats_over_parts_and_files(tmp_path: Path, store: Store) -> None:
    write(tmp_path / "x/a.lst", "0 l http://h/0\n1 l http://h/1\n2 l http://h/1\n")
    write(tmp_path / "x/b.csv", "url,label\nhttp://h/2,l\nhttp://h/0,l\nhttp://h/2,l\n")
    write(tmp_path / "x/readme.md", "no list")
    made = ingest_urls(source(tmp_path / "x"), store, part_rows=2)
    assert [row["idx"] for row in made.kept] == ["0", "1", "3"]
    assert made.details == {
        "web/a.lst:line-3": "The same label and URL as line 2.",
        "web/b.csv:line-3": "The same label and URL as a.lst, line 1.",
        "web/b.csv:line-4": "The same label and URL as line 2.",
    }
    assert [(part.uri, part.repeats) for part in made.listing.parts] == [
        ("urls://web/a.lst", ""),
        ("urls://web/a.lst", "0=2"),
        ("urls://web/b.csv", "1=1:1"),
        ("urls://web/b.csv", "0=2"),
    ]


def test_a_list_twice_over_is_told_shortly(tmp_path: Path, store: Store) -> None:
    made = ingest_urls(source(write(tmp_path / "a.lst", lines(500) * 2)), store, part_rows=400)
    assert [part.repeats for part in made.listing.parts] == ["", "100..399=1", "0..199=301"]
    assert len(made.kept) == 500


def test_limit_and_debug(tmp_path: Path, store: Store) -> None:
    path = write(tmp_path / "a.lst", lines(50))
    asked = [{"limit": 7}, {"debug": True, "debug_rows": 5}, {"limit": 3, "debug": True}, {}, {"limit": 50}]
    listings = [list_urls(source(path, **fields), HubAccess(), store, 5) for fields in asked]
    assert [(each.rows, each.complete) for each in listings] == [
        (7, False), (5, False), (3, False), (50, True), (50, True)
    ]  # fmt: skip
    assert listings[0].parts[0] == listings[3].parts[0]
    assert source(path, debug=True).most_rows == 1000


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "IDX,x,Label,URL\n7,?,Ann,http://h/1\n8,?,,https://h/2\n"),
        ("a.tsv", "URL\tlabel\tidx\nhttp://h/1\tAnn\t7\nhttps://h/2\t\t8\n"),
        ("b.tsv", "7\tAnn\thttp://h/1\n8\t\thttps://h/2\n"),
        ("b.csv", '7,"Ann",http://h/1\n8, ,"https://h/2"\n'),
        ("a.jsonl", '{"idx": 7, "label": "Ann", "URL": "http://h/1"}\n{"url": "https://h/2", "idx": "8"}\n'),
        ("a.lst", "7 Ann http://h/1\n8 https://h/2\n"),
        ("b.lst", "  7\tAnn   http://h/1 \n\n8  https://h/2\n\n\n"),
    ],
)
def test_layouts_of_lines(tmp_path: Path, store: Store, name: str, text: str, end: str, mark: bytes) -> None:
    path = write(tmp_path / name, mark + text.replace("\n", end).encode())
    made = ingest_urls(source(path), store, part_rows=1)
    assert made.triples == [("7", "Ann", "http://h/1"), ("8", "", "https://h/2")]
    assert not made.rejected
    assert made.blank == (3 if name == "b.lst" else 0)


def test_running_numbers(tmp_path: Path, store: Store) -> None:
    write(tmp_path / "x/a.csv", "url,label\nhttp://h/1,a\n\nnone,a\nhttp://h/2,a\n")
    write(tmp_path / "x/b.txt", "http://h/3\nhttp://h/4\n")
    made = ingest_urls(source(tmp_path / "x/*"), store, part_rows=2)
    assert made.triples == [
        ("0", "a", "http://h/1"), ("3", "a", "http://h/2"), ("4", "", "http://h/3"), ("5", "", "http://h/4")
    ]  # fmt: skip
    assert [part.first_idx for part in made.listing.parts] == [0, 2, 4]


def test_columns_by_name(tmp_path: Path, store: Store) -> None:
    path = write(tmp_path / "a.csv", "\nimage_link,Person,n,url\nhttp://h/1,Ann,5,ftp://h\n")
    columns = UrlColumns(url="image_link", idx="", label="person")
    assert ingest_urls(source(path, columns=columns), store).triples == [("0", "Ann", "http://h/1")]


@pytest.mark.parametrize(
    ("name", "data", "columns", "told"),
    [
        ("a.csv", b"link,label\nhttp://h/1,a\n", {}, "no column 'url'.*'link,label'"),
        ("a.csv", b"1,2,3,http://h/1\n", {}, "a list without a header has"),
        ("a.csv", b"url,label\nhttp://h/1,a\n", {"label": "person"}, "no column 'person' for `label`; it has: url, la"),
        ("a.jsonl", b'{"link": "http://h/1"}\n', {}, "no line has 'url'; keys found: link"),
        ("a.jsonl", b"http://h/1\n", {}, "keys found: none .http://h/1"),
        ("a.lst", "1 a http://h/1\n".encode("utf-16"), {}, "is UTF-16"),
        ("a.lst", b"", {}, "holds no row"),
        ("a.csv", b"url,label\n", {}, "holds no row"),
        ("a.csv", b"", {}, "holds no row"),
        ("a.jsonl", b"", {}, "holds no row"),
        ("a.list", b"1 a http://h/1\n", {}, "a.list does not say how it is written"),
    ],
)
def test_lists_that_do_not_fit(tmp_path: Path, store: Store, name: str, data: bytes, columns: dict, told: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(SourceError, match=told):
        ingest_urls(source(write(tmp_path / name, data), columns=UrlColumns(**columns)), store)


def test_a_format_that_is_named(tmp_path: Path, store: Store) -> None:
    path = write(tmp_path / "a.list", lines(3))
    assert len(ingest_urls(source(path, format=UrlFormat.LST), store).kept) == 3
    assert len(ingest_urls(source(tmp_path / "*.list", format=UrlFormat.LST), store).kept) == 3


def test_what_a_person_writes_is_checked(tmp_path: Path, store: Store) -> None:
    with pytest.raises(ValidationError):
        source(tmp_path / "a", name="A b")
    with pytest.raises(SourceError, match="not absolute"):
        ingest_urls(source("lists/url.lst"), store)
    with pytest.raises(SourceError, match="no list at"):
        ingest_urls(source(tmp_path / "none"), store)
    with pytest.raises(ConfigError, match="at least one row"):
        ingest_urls(source(tmp_path / "none"), store, part_rows=0)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"7 a", "the URL is neither http nor https"),
        (b"7 a mailto:x@y.z", "the URL is neither http nor https"),
        (b"7 a http://", "the URL has no host"),
        (b"7 a http:///x.jpg", "the URL has no host"),
        (b"7 a https://user@/x.jpg", "the URL has no host"),
        (b"7 a https://../x.jpg", "the URL has no host"),
        (b"7 a http://h:port/", "the host or port of the URL cannot be read"),
        (b"7 a http://h:99999/", "the host or port of the URL cannot be read"),
        (b"7 a http://[::1/", "the host or port of the URL cannot be read"),
        (b"7 a http://h\\@k/", "the host of the URL holds a backslash"),
        (b"7 a http://h/\x00", "the URL holds the control character U+0000"),
        (b"7 a\x1bb http://h/", "the label holds the control character U+001B"),
        (b"7\x7f a http://h/", "the index holds the control character U+007F"),
        (b"7 \xc2\x85 http://h/", "the label holds the control character U+0085"),
        (b"7 a http://h/\xe3\x80\x80x", "the URL holds a space"),
        (b"7 a\xff http://h/", "byte 4 is no UTF-8"),
        (b"7 a http://h/" + b"x" * 8192, "the URL has 8,201 bytes, more than 8,192"),
        (b"7 " + b"x" * 8193 + b" http://h/", "the label has 8,193 bytes, more than 8,192"),
        (b"7 a http://h/" + b"x" * (1 << 20), "the line has more than 1,048,576 bytes"),
        (b"7 a http://h/" + b"x" * (5 << 20), "the line has more than 1,048,576 bytes"),
    ],
)
def test_malformed_lines(tmp_path: Path, store: Store, line: bytes, why: str) -> None:
    path = write(tmp_path / "a.lst", b"1 a http://h/1\n" + line + b"\n3 a http://h/3\n")
    made = ingest_urls(source(path), store)
    assert [row["idx"] for row in made.kept] == ["1", "3"]
    (rejection,) = made.rejected
    assert (rejection.sample_id, rejection.reason) == ("web/line-2", Reason.URL_MALFORMED)
    assert rejection.detail.startswith(f"Line 2: {why}: '7")
    assert len(rejection.detail) < 300
    assert rejection.detail.isprintable()


@pytest.mark.parametrize(
    ("name", "head", "line", "why"),
    [
        ("a.csv", "idx,label,url", "7,a", "it has 2 fields where 3 are wanted"),
        ("a.csv", "idx,label,url", "7,a,http://h/,b", "it has 4 fields where 3 are wanted"),
        ("a.csv", "idx,label,url", '7,"a,http://h/', "its quotes do not fit together"),
        ("a.csv", "idx,label,url", '7,"a"b,http://h/', "its quotes do not fit together"),
        ("a.csv", "idx,label,url", "7,a,http://h/a b", "the URL holds a space"),
        ("a.csv", "idx,label,url", "7,a,", "there is no URL"),
        ("a.csv", "idx,label,url", "7,a,nan", "the URL is neither http nor https"),
        ("a.tsv", "idx\tlabel\turl", '7\t"a\thttp://h/\t"', "it has 4 fields where 3 are wanted"),
        ("a.jsonl", '{"url": "http://h/0"}', '{"url": "http://h/7"', "it is no JSON"),
        ("a.jsonl", '{"url": "http://h/0"}', "[" * 100_000, "it is no JSON"),
        ("a.jsonl", '{"url": "http://h/0"}', '["http://h/7"]', "it is no JSON object"),
        ("a.jsonl", '{"url": "http://h/0"}', '{"url": NaN}', "there is no URL"),
        ("a.jsonl", '{"url": "http://h/0"}', '{"label": "a"}', "there is no URL"),
        ("a.jsonl", '{"url": "http://h/0"}', '{"url": ["http://h/7"]}', "its url is neither text nor a number"),
        ("a.jsonl", '{"url": "http://h/0"}', '{"url": "http://h/7", "label": true}', "its label is neither text nor"),
        ("a.jsonl", '{"url": "http://h/0"}', '{"url": "http://h/7", "label": "\\ud800"}', "the label holds half a ch"),
        ("a.jsonl", '{"url": "http://h/0"}', '{"url": "http://h/7", "label": "a\\nb"}', "the label holds the control"),
    ],
)
def test_malformed_lines_of_other_layouts(
    tmp_path: Path, store: Store, name: str, head: str, line: str, why: str
) -> None:
    path = write(tmp_path / name, f"{head}\n{line}\n")
    (rejection,) = ingest_urls(source(path), store).rejected
    assert (rejection.sample_id, rejection.reason) == ("web/line-2", Reason.URL_MALFORMED)
    assert rejection.detail.startswith(f"Line 2: {why}")


WORDS = st.sampled_from(
    (
        *(b"1", b"a", b" ", b"  ", b"\t", b"\n", b"\r\n", b"\r", b",", b'"', b"http://h/1", b"https://x.y/?q=\xc3\xa9"),
        *(b"\xff", b"\x00", b"http://", b"\xe3\x80\x80", b'{"url": "http://h/2"}', b"{", b"url", b"\xc2\x85", b"nan"),
    )
)
TEXTS = st.one_of(st.lists(WORDS, max_size=40).map(b"".join), st.binary(max_size=60))
HEADS = {
    UrlFormat.LST: b"",
    UrlFormat.CSV: b"idx,label,url\n",
    UrlFormat.TSV: b"idx\tlabel\turl\n",
    UrlFormat.JSONL: b'{"url": "http://first/"}\n',
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(TEXTS.filter(bool), st.sampled_from(list(HEADS)), st.integers(1, 5))
def test_every_line_of_any_bytes_is_accounted_for(
    tmp_path: Path, store: Store, data: bytes, kind: UrlFormat, part_rows: int
) -> None:
    path = write(tmp_path / "any", HEADS[kind] + b"0\n" + data)
    made = ingest_urls(source(path, format=kind), store, part_rows)
    offered = [line for line in [b"0", *data.split(b"\n")] if line.strip(b" \t\r\n")]
    assert len(made.kept) + len(made.rejected) == len(offered) + (kind is UrlFormat.JSONL)
