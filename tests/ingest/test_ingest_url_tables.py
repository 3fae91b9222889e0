"""Lists in Parquet."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.ingest import url_tables
from tasks.ingest.hub import HubAccess
from tasks.ingest.url_lists import IngestUrls, list_urls
from tasks.schema.errors import SourceError
from tasks.schema.rejections import Reason
from tasks.schema.url_sources import UrlColumns
from tasks.shards.store import Store
from tests.ingest.url_rows import ingest_urls, source


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def table(path: Path, group_rows: int = 4, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=group_rows)
    return path


def urls(count: int, start: int = 0) -> list[str]:
    return [f"http://h/{i}" for i in range(start, start + count)]


def test_parts_of_the_reference_pipeline(tmp_path: Path, store: Store) -> None:
    """Strings in the columns idx, label, URL."""
    path = table(tmp_path / "0.parquet", idx=["4", "5", "6"], label=["a", "b", "a"], URL=urls(3), other=[1, 2, 3])
    made = ingest_urls(source(path), store, part_rows=2)
    assert made.triples == [("4", "a", "http://h/0"), ("5", "b", "http://h/1"), ("6", "a", "http://h/2")]
    assert [(part.first_row, part.rows) for part in made.listing.parts] == [(0, 2), (2, 1)]


@pytest.mark.parametrize(
    ("idx", "label", "wanted"),
    [
        (pa.array([7, None, 9]), pa.array(["a", "b", "a"]).dictionary_encode(), [("7", "a"), ("1", "b"), ("9", "a")]),
        (pa.array([7.0, float("nan"), 9.5]), pa.array([1, 2, None], pa.int8()), [("7", "1"), ("1", "2"), ("9.5", "")]),
        (pa.array(["7", "", " 9 "], pa.large_string()), pa.nulls(3), [("7", ""), ("1", ""), ("9", "")]),
        (pa.array(["7", None, "9"], pa.string_view()), pa.array([b"a", b"", None]), [("7", "a"), ("1", ""), ("9", "")]),
    ],
)
def test_types(tmp_path: Path, store: Store, idx: pa.Array, label: pa.Array, wanted: list[tuple[str, str]]) -> None:
    made = ingest_urls(source(table(tmp_path / "a.parquet", idx=idx, label=label, url=urls(3))), store)
    assert [(idx, label) for idx, label, _ in made.triples] == wanted


def test_malformed_rows(tmp_path: Path, store: Store) -> None:
    cells = pa.array([b"http://h/0", None, b"http://h/\xff", b" http://h/3\n", b"nan", b"http://h/0"])
    columns = {"URL": pa.Array.from_buffers(pa.string(), 6, cells.buffers()), "label": ["a", "a", "a", "a", "a", "a"]}
    made = ingest_urls(source(table(tmp_path / "a.parquet", **columns)), store, part_rows=4)
    assert [row["url"] for row in made.kept] == ["http://h/0", "http://h/3"]
    assert [(r.sample_id, r.reason) for r in made.rejected] == [
        ("web/row-1", Reason.URL_MALFORMED),
        ("web/row-2", Reason.URL_MALFORMED),
        ("web/row-4", Reason.URL_MALFORMED),
        ("web/row-5", Reason.DUPLICATE_EXACT),
    ]
    assert [r.detail for r in made.rejected] == [
        "Row 1: there is no URL: 'None a None'",
        "Row 2: its url is no UTF-8: 'None a http://h/\\xff'",
        "Row 4: the URL is neither http nor https: 'None a nan'",
        "The same label and URL as row 0.",
    ]


@pytest.mark.parametrize(
    ("columns", "mapping", "told"),
    [
        ({"url": [1, 2]}, {}, "column 'url' holds int64, no text; it has: url .int64."),
        ({"url": [1.5, float("nan")]}, {}, "column 'url' holds double"),
        ({"url": [["http://h/"]]}, {}, "column 'url' holds list"),
        ({"url": ["http://h/"], "label": [True]}, {}, "column 'label' holds bool"),
        ({"link": ["http://h/"]}, {}, "no column 'url' for `url`; it has: link"),
        ({"url": ["http://h/"]}, {"idx": "n"}, "no column 'n' for `idx`; it has: url"),
        ({"url": pa.array([], pa.string())}, {}, "holds no row"),
    ],
)
def test_tables_that_do_not_fit(
    tmp_path: Path, store: Store, columns: dict[str, Any], mapping: dict[str, str], told: str
) -> None:
    path = table(tmp_path / "a.parquet", **columns)
    with pytest.raises(SourceError, match=told):
        ingest_urls(source(path, columns=UrlColumns(**mapping)), store)


def test_a_column_of_nothing_is_all_malformed(tmp_path: Path, store: Store) -> None:
    made = ingest_urls(source(table(tmp_path / "a.parquet", url=pa.nulls(3))), store)
    assert [r.reason for r in made.rejected] == [Reason.URL_MALFORMED] * 3


def test_a_damaged_table(tmp_path: Path, store: Store) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SourceError, match=r"a.parquet is no whole Parquet file"):
        ingest_urls(source(tmp_path / "a.parquet"), store)


def test_a_table_that_grows_keeps_its_parts(tmp_path: Path, store: Store) -> None:
    path = table(tmp_path / "a.parquet", url=urls(10), label=["a", "b"] * 5)
    wanted = source(path)
    before = list_urls(wanted, HubAccess(), store, 4)
    table(path, group_rows=7, other=[1] * 12, label=["a", "b"] * 6, url=urls(12))
    after = list_urls(wanted, HubAccess(), store, 4)
    assert after.parts[:2] == before.parts[:2]
    assert after.parts[2] != before.parts[2]
    list(IngestUrls.of(wanted, before, before.parts[2]).process(iter(())))
    table(path, url=urls(10, 1), label=["a", "b"] * 5)
    with pytest.raises(SourceError, match="has changed since it was listed"):
        list(IngestUrls.of(wanted, before, before.parts[2]).process(iter(())))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from([None, "", "1", "x\n", "1:"]), st.sampled_from([None, "a", "1:a"]), st.none() | st.text()
        ),
        min_size=1,
        max_size=12,
    ),
    cuts=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)),
)
@pytest.mark.slow
def test_digests_do_not_depend_on_blocks(
    tmp_path: Path, store: Store, rows: list[tuple[str | None, str | None, str | None]], cuts: tuple[int, int, int]
) -> None:
    group_rows, part_rows, block_rows = cuts
    columns = dict(zip(("idx", "label", "url"), map(list, zip(*rows, strict=True)), strict=True))
    typed = {name: pa.array(cells, pa.string()) for name, cells in columns.items()}
    wanted = source(table(tmp_path / "a.parquet", group_rows, **typed))
    whole = ingest_urls(wanted, store, part_rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(url_tables, "BLOCK_ROWS", block_rows)
        cut = ingest_urls(wanted, store, part_rows)
    assert cut.listing == whole.listing
    assert (cut.kept, cut.rejected) == (whole.kept, whole.rejected)


def test_a_gzipped_table_is_one_too(tmp_path: Path, store: Store) -> None:
    import gzip

    stream = io.BytesIO()
    pq.write_table(pa.table({"url": urls(3)}), stream)
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress(stream.getvalue()))
    assert len(ingest_urls(source(tmp_path / "a.parquet.gz"), store).kept) == 3
