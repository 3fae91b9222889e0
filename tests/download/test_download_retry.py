"""Failed URLs again: when, how often, and only those."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.download.fetching import Machine, Patience
from tasks.download.ledger import LEDGER_SCHEMA, failing_hosts, ledger_table, outcomes
from tasks.download.retry import RetryPolicy, attempts, committed, due_at, read_rejects
from tasks.download.stage import Download, DownloadConfig
from tasks.download.transport import TransportLimits
from tasks.schema.errors import StoreError
from tasks.schema.records import ShardRecord
from tasks.schema.rejections import Reason, Rejection, rejection_table
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.download.conftest import LOCAL
from tests.download.listed import ListedUrls, ListedUrlsConfig
from tests.download.url_server import UrlServer, jpeg

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = RetryPolicy(pauses_s=(3600.0, 7200.0))
ONCE = DownloadConfig(
    image_px=64, patience=Patience(tries=1, longest_wait_s=1e9), limits=TransportLimits(total_timeout_s=5.0)
)


class Clock:
    """The time of day that the stage and the plan see."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def rejects(*rows: tuple[Reason, timedelta, float | None]) -> pa.Table:
    return rejection_table(
        "download",
        [
            Rejection(
                f"list/{number}",
                reason,
                "Why.",
                source_uri=f"http://h{number}/",
                evidence=json.dumps({"last_seen": (START + after).isoformat(), "retry_after_s": wait}),
            )
            for number, (reason, after, wait) in enumerate(rows)
        ],
    )


def test_the_latest_failure_and_the_pause_of_the_attempt_decide() -> None:
    table = rejects((Reason.DNS_FAILED, 0 * HOUR, None), (Reason.HTTP_SERVER_ERROR, 2 * HOUR, None))
    assert due_at(table, 0, POLICY) == START + 3 * HOUR
    assert due_at(table, 1, POLICY) == START + 4 * HOUR
    assert due_at(table, 2, POLICY) is None


def test_what_a_server_asks_for_counts_up_to_a_cap() -> None:
    assert due_at(rejects((Reason.HTTP_RATE_LIMITED, 0 * HOUR, 5 * 3600.0)), 0, POLICY) == START + 5 * HOUR
    week = rejects((Reason.HTTP_RATE_LIMITED, 0 * HOUR, 7 * 86400.0))
    assert due_at(week, 0, POLICY) == START + timedelta(days=3)


@pytest.mark.parametrize(
    "reason",
    [
        Reason.HTTP_GONE,
        Reason.HTTP_REFUSED,
        Reason.OPTED_OUT,
        Reason.ADDRESS_REFUSED,
        Reason.REDIRECT_REFUSED,
        Reason.RESPONSE_NO_IMAGE,
        Reason.RESPONSE_TOO_LARGE,
        Reason.IMAGE_BOMB,
        Reason.IMAGE_UNREADABLE,
        Reason.DECODER_CRASHED,
        Reason.URL_MALFORMED,
    ],
)
def test_what_no_retry_mends_is_not_due(reason: Reason) -> None:
    assert due_at(rejects((reason, 0 * HOUR, 60.0)), 0, POLICY) is None


def plan(store: Store, urls: tuple[str, ...], clock: Clock) -> tuple[Derivation, ...]:
    download = Download(ONCE, LOCAL, Machine(threads=8), now=clock)
    listed = Derivation(ListedUrls(ListedUrlsConfig(urls=urls)))
    return attempts(store, listed, download, clock.now, POLICY)


def run(store: Store, urls: tuple[str, ...], clock: Clock) -> list[ShardRecord]:
    return [realise(each, store).record for each in plan(store, urls, clock)]


def ledger(store: Store, records: list[ShardRecord]) -> dict[str, dict[str, object]]:
    table = ledger_table(store, records, POLICY)
    assert table.schema == LEDGER_SCHEMA
    return {str(row["url"]).rpartition("/")[2]: row for row in table.to_pylist()}


def test_nightly_runs_fetch_only_what_is_missing(server: UrlServer, tmp_path: Path) -> None:
    store, clock = Store(tmp_path), Clock()
    urls = tuple(server.url(f"/{path}") for path in ("file/b", "file/never", "status/404"))

    first = run(store, urls, clock)
    assert [record.rows_kept for record in first] == [0]
    told = ledger(store, first)
    assert [row["status"] for row in told.values()] == ["will retry", "will retry", "failed"]
    assert told["b"]["next_try"] == START + HOUR
    assert (told["b"]["http_status"], told["b"]["tries"], told["404"]["reason"]) == (503, 1, "http_gone")

    asked = len(server.requests)
    clock.now += 0.9 * HOUR
    assert run(store, urls, clock) == first
    assert len(server.requests) == asked

    server.files["b"] = jpeg(2)
    clock.now += 0.2 * HOUR
    second = run(store, urls, clock)
    assert second[0] == first[0]
    assert (second[1].rows_in, second[1].rows_kept) == (2, 1)
    assert len(server.requests) == asked + 2
    rows = pq.read_table(store.data_path(second[1])).to_pylist()
    assert [(row["sample_id"], row["idx"], row["label"], row["attempt"]) for row in rows] == [
        ("list/000000", "0", "label-0", 1)
    ]

    clock.now += 3 * HOUR
    third = run(store, urls, clock)
    assert third[:2] == second
    assert (third[2].rows_in, third[2].rows_kept) == (1, 0)
    told = ledger(store, third)
    assert [row["status"] for row in told.values()] == ["fetched", "gave up", "failed"]
    assert [row["tries"] for row in told.values()] == [2, 3, 1]

    clock.now += 1000 * HOUR
    asked = len(server.requests)
    assert run(store, urls, clock) == third
    assert len(server.requests) == asked

    table = ledger_table(store, third, POLICY)
    ended = {row["status"]: (row["reason"], row["urls"]) for row in outcomes(table).to_pylist()}
    assert ended == {"fetched": (None, 1), "failed": ("http_gone", 1), "gave up": ("http_server_error", 1)}
    assert sum(outcomes(table)["share"].to_pylist()) == pytest.approx(1.0)
    assert failing_hosts(table).to_pylist()[0]["host"] == "127.0.0.1"
    assert failing_hosts(table).to_pylist()[0]["failed"] == 2


def test_a_plan_before_the_list_exists_is_the_first_attempt(tmp_path: Path) -> None:
    assert len(plan(Store(tmp_path), ("http://127.0.0.1:9/a",), Clock())) == 1
    assert committed(plan(Store(tmp_path), (), Clock())[0], Store(tmp_path)) is None


def test_rejects_that_changed_are_not_retried(server: UrlServer, tmp_path: Path) -> None:
    store, clock = Store(tmp_path), Clock()
    urls = (server.url("/status/500"),)
    (record,) = run(store, urls, clock)
    clock.now += 2 * HOUR
    again = plan(store, urls, clock)[1]
    path = store.rejects_path(record)
    assert path is not None
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match="plans anew"):
        realise(again, store)


def test_a_photo_that_was_erased_leaves_its_failures_in_the_ledger(server: UrlServer, tmp_path: Path) -> None:
    store, clock = Store(tmp_path), Clock()
    urls = (server.url("/status/500"), server.url("/status/404"))
    (record,) = run(store, urls, clock)
    store.erase(record)
    erased = committed(plan(store, urls, clock)[0], store)
    assert erased is not None
    assert erased.erased
    assert len(read_rejects(store, erased)) == 2
    assert len(ledger_table(store, [erased], POLICY)) == 2
    clock.now += 2 * HOUR
    assert len(plan(store, urls, clock)) == 2


def test_an_empty_ledger_has_its_columns(tmp_path: Path) -> None:
    table = ledger_table(Store(tmp_path), [], POLICY)
    assert table.schema == LEDGER_SCHEMA
    assert outcomes(table).num_rows == failing_hosts(table).num_rows == 0


def test_the_attempt_is_part_of_the_key() -> None:
    download = Download(ONCE)
    later = replace(download, config=ONCE.model_copy(update={"attempt": 1}))
    assert download.params() != later.params()
