"""One row for every URL of all attempts: what became of it, and what is next."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.download.consent import Consent
from tasks.download.consented import Consented
from tasks.download.failure import RETRYABLE
from tasks.download.released import due_rows
from tasks.download.retry import RetryPolicy, due_at, read_rejects
from tasks.schema.records import ShardRecord
from tasks.shards.store import Store

LEDGER_SCHEMA: Final = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("idx", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("error", pa.string()),
        pa.field("http_status", pa.int16()),
        pa.field("tries", pa.int16(), nullable=False),
        pa.field("last_seen", pa.timestamp("ms", "UTC"), nullable=False),
        pa.field("next_try", pa.timestamp("ms", "UTC")),
    ]
)
"""`status` is one of `STATUSES`; `tries` counts the attempts in which the URL had its turn."""

FETCHED, FAILED, WILL_RETRY, GAVE_UP = STATUSES = ("fetched", "failed", "will retry", "gave up")
"""Failed: for a reason that no retry mends. Gave up: for one that might have passed, but never did."""

_EVIDENCE = pl.Struct(
    {"idx": pl.String, "label": pl.String, "attempt": pl.Int16, "status": pl.Int16, "last_seen": pl.String}
)
_TIME = pl.Datetime("ms", "UTC")


def ledger_table(
    store: Store, records: Iterable[ShardRecord], policy: RetryPolicy, consent: Consent | None = None
) -> pa.Table:
    """The state of every URL after its latest attempt, in the order of the lists.

    Args:
        store: where the records are from.
        records: of `download`, all attempts, and of `consent`, after those.
        policy: decides what is next.
        consent: releases what was refused; None: nothing is released.
    Returns:
        rows of `LEDGER_SCHEMA`. Photos that were erased on purpose are not listed.
    """
    frames = [frame for record in records for frame in _frames(store, record, policy, consent)]
    if not frames:
        return LEDGER_SCHEMA.empty_table()
    latest = pl.concat(frames).sort("tries", maintain_order=True).unique("sample_id", keep="last", maintain_order=True)
    return latest.sort("sample_id").select(LEDGER_SCHEMA.names).to_arrow().cast(LEDGER_SCHEMA)


def _fetched(store: Store, record: ShardRecord) -> pl.DataFrame:
    columns = ["sample_id", "url", "idx", "label", "http_status", "attempt", "fetched_at"]
    rows = pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    if not record.erased:
        rows = pl.DataFrame(pq.read_table(store.data_path(record), columns=columns))
    return rows.select(
        *("sample_id", "url", "idx", "label"),
        status=pl.lit(FETCHED),
        reason=pl.lit(None, pl.String),
        error=pl.lit(None, pl.String),
        http_status=pl.col("http_status").cast(pl.Int16),
        tries=pl.col("attempt").cast(pl.Int16) + 1,
        last_seen=pl.col("fetched_at").cast(_TIME),
        next_try=pl.lit(None, _TIME),
    )


def _frames(
    store: Store, record: ShardRecord, policy: RetryPolicy, consent: Consent | None
) -> tuple[pl.DataFrame, ...]:
    if record.stage == Consented.name:
        return (_failed(read_rejects(store, record), None, ()),)
    rejects = read_rejects(store, record)
    due = due_at(rejects, int(str(record.params["attempt"])), policy)
    released = [row["sample_id"] for row in due_rows(rejects, consent)] if consent is not None else []
    return _fetched(store, record), _failed(rejects, due, released)


def _failed(rejects: pa.Table, due: datetime | None, released: Sequence[str]) -> pl.DataFrame:
    told = pl.DataFrame(rejects).with_columns(pl.col("evidence").str.json_decode(_EVIDENCE))
    passing = pl.col("reason").is_in(sorted(reason.value for reason in RETRYABLE))
    free = pl.col("sample_id").is_in(list(released))
    seen = pl.col("evidence").struct["last_seen"].str.to_datetime(time_unit="ms", time_zone="UTC")
    return told.select(
        "sample_id",
        url=pl.col("source_uri"),
        idx=pl.col("evidence").struct["idx"],
        label=pl.col("evidence").struct["label"],
        status=pl.when(free)
        .then(pl.lit(WILL_RETRY))
        .when(~passing)
        .then(pl.lit(FAILED))
        .otherwise(pl.lit(GAVE_UP if due is None else WILL_RETRY)),
        reason=pl.col("reason"),
        error=pl.col("detail"),
        http_status=pl.col("evidence").struct["status"],
        tries=pl.col("evidence").struct["attempt"] + 1,
        last_seen=seen,
        next_try=pl.when(free).then(seen).when(passing).then(pl.lit(due, _TIME)).otherwise(None),
    )


def outcomes(ledger: pa.Table) -> pa.Table:
    """How many URLs ended how, the most first: `status`, `reason`, `urls`, `share` of all."""
    frame = pl.DataFrame(ledger)
    counted = frame.group_by("status", "reason").agg(urls=pl.len().cast(pl.Int64))
    shared = counted.with_columns(share=pl.col("urls") / max(1, frame.height))
    return shared.sort(["urls", "status", "reason"], descending=[True, False, False]).to_arrow()


def failing_hosts(ledger: pa.Table, top: int = 20) -> pa.Table:
    """The hosts that fail most: `host`, `urls`, `failed`, and their most frequent `reason`."""
    host = pl.col("url").str.extract(r"^[a-zA-Z]+://(?:[^/@?#]*@)?(\[[^\]]*\]|[^/:?#]*)").str.to_lowercase()
    frame = pl.DataFrame(ledger).with_columns(host=host.fill_null(""))
    counted = frame.group_by("host").agg(
        urls=pl.len().cast(pl.Int64),
        failed=(pl.col("status") != FETCHED).sum().cast(pl.Int64),
        reason=pl.col("reason").drop_nulls().mode().sort().first(),
    )
    failing = counted.filter(pl.col("failed") > 0)
    return failing.sort(["failed", "host"], descending=[True, False]).head(top).to_arrow()
