"""Trying failed URLs again: each attempt is a small list of its own, made of what the attempt before it rejected."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.download.failure import RETRYABLE
from tasks.download.stage import Download
from tasks.schema.errors import StoreError
from tasks.schema.records import Frozen, InputRef, ShardRecord
from tasks.schema.rejections import rejection_table
from tasks.schema.webbody import URL_SCHEMA
from tasks.shards.derive import Derivation, committed
from tasks.shards.files import file_digest
from tasks.shards.stage import Stage, StageOutput
from tasks.shards.store import Store

_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S


class RetryPolicy(Frozen):
    """When a failed URL is due again: `pauses_s[n]` after attempt n, later where a server asked for more.

    After as many attempts as there are pauses, and one, a URL is given up. A server's Retry-After counts up to
    `longest_retry_after_s`.
    """

    pauses_s: tuple[float, ...] = (_HOUR_S, 6 * _HOUR_S, _DAY_S, 3 * _DAY_S, 7 * _DAY_S)
    longest_retry_after_s: float = 3 * _DAY_S

    @property
    def attempts(self) -> int:
        return len(self.pauses_s) + 1


class RetryConfig(Frozen):
    """Which URLs: those that `parent`, a download, rejected for reasons that may pass; `attempt` is what they get."""

    parent: InputRef
    rejects: str
    attempt: int


@dataclass(frozen=True)
class RetryUrls(Stage):
    """The URLs of an earlier attempt that are worth another one, as they stood in the list. A source."""

    config: RetryConfig
    store: Store

    name: ClassVar[str] = "retry_urls"
    version: ClassVar[int] = 1

    @property
    def schema(self) -> pa.Schema:
        return URL_SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:  # noqa: ARG002 - a source
        """Offer them; a StoreError where the rejects of the parent are gone or damaged."""
        rejects = planned_rejects(self.store, self.config.parent, self.config.rejects)
        for batch in retryable(rejects).to_batches(self.batch_rows):
            yield StageOutput(pa.RecordBatch.from_pylist([listed(row) for row in batch.to_pylist()], URL_SCHEMA))


def listed(reject: dict[str, Any]) -> dict[str, Any]:
    """A rejected URL as it stood in its list: a row of `URL_SCHEMA`."""
    told = json.loads(reject["evidence"])
    return {
        "sample_id": reject["sample_id"],
        "parent_id": None,
        "source_uri": reject["source_uri"],
        "licence": told["licence"],
        "idx": told["idx"],
        "label": told["label"],
        "url": reject["source_uri"],
    }


def retryable(rejects: pa.Table) -> pa.Table:
    """The rows of a download's rejects that another attempt may mend."""
    return rejects.filter(pc.is_in(rejects["reason"], pa.array(sorted(reason.value for reason in RETRYABLE))))


def due_at(rejects: pa.Table, attempt: int, policy: RetryPolicy) -> datetime | None:
    """When the URLs that `attempt` failed to fetch may be tried again; None: never, or there are none."""
    seen = [json.loads(evidence) for evidence in retryable(rejects)["evidence"].to_pylist()]
    if not seen or attempt >= len(policy.pauses_s):
        return None
    last = max(datetime.fromisoformat(told["last_seen"]) for told in seen)
    asked = max(float(told.get("retry_after_s") or 0.0) for told in seen)
    wait = max(policy.pauses_s[attempt], min(asked, policy.longest_retry_after_s))
    return last + timedelta(seconds=wait)


def attempts(
    store: Store, urls: Derivation, download: Download, now: datetime, policy: RetryPolicy, first: int = 0
) -> tuple[Derivation, ...]:
    """All attempts at a list of URLs that were made or are due, the first one first.

    Args:
        store: tells what was made.
        urls: gives rows of `URL_SCHEMA`.
        download: how; its attempt number is replaced.
        now: with a time zone.
        policy: when and how often.
        first: attempts that were made at these URLs before.
    """
    chain = [Derivation(_numbered(download, first), (urls,))]
    while first + len(chain) < policy.attempts:
        attempt = first + len(chain)
        made = committed(chain[-1], store)
        if made is None or made.rejects is None:
            break
        due = due_at(read_rejects(store, made), attempt - 1, policy)
        if due is None:
            break
        again = RetryUrls(RetryConfig(parent=made.ref, rejects=made.rejects.digest, attempt=attempt), store)
        following = Derivation(_numbered(download, attempt), (Derivation(again),))
        if now < due and committed(following, store) is None:
            break
        chain.append(following)
    return tuple(chain)


def read_rejects(store: Store, record: ShardRecord) -> pa.Table:
    """What a committed stage left out; no rows where that was nothing."""
    path = store.rejects_path(record)
    return pq.read_table(path) if path is not None else rejection_table(record.stage, ())


def planned_rejects(store: Store, parent: InputRef, digest: str) -> pa.Table:
    """The rejects of a stage, as they were when something was planned from them.

    Raises:
        StoreError: they are gone, or damaged.
    """
    record = store.read_record(parent.stage, parent.key)
    path = store.rejects_path(record) if record is not None else None
    if path is None or not path.exists() or file_digest(path) != digest:
        raise StoreError(
            f"The rejects of {parent.stage}/{parent.key[:16]} are not those that another try was planned from: run the "
            "flow again, it plans anew."
        )
    return pq.read_table(path)


def _numbered(download: Download, attempt: int) -> Download:
    return replace(download, config=download.config.model_copy(update={"attempt": attempt}))
