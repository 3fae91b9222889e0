"""URLs that were refused under a stricter policy, asked for again under a milder one: small lists of their own.

What was said against a URL stands in the evidence of its rejection. Where today's policy has nothing against it, it is
released: put on a list that is downloaded like any other. A URL is released once from the same rejection.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.download.consent import Consent, Said
from tasks.download.failure import REFUSED
from tasks.download.retry import RetryPolicy, attempts, listed, planned_rejects, read_rejects
from tasks.download.stage import Download
from tasks.schema.records import Frozen, InputRef, ShardRecord
from tasks.schema.webbody import URL_SCHEMA
from tasks.shards.derive import Derivation, committed
from tasks.shards.stage import Stage, StageOutput
from tasks.shards.store import Store


class ReleaseConfig(Frozen):
    """Which rejections, of `parent`, a download; `number` counts the releases from it, from 0."""

    parent: InputRef
    rejects: str
    number: int


@dataclass(frozen=True)
class ReleasedUrls(Stage):
    """The URLs that the policy of today releases, as they stood in the list. A source.

    Like a download it takes down what holds when it runs: neither `consent` nor `before`, the URLs that earlier
    releases have, is part of the key.
    """

    config: ReleaseConfig
    store: Store
    consent: Consent
    before: frozenset[str]

    name: ClassVar[str] = "released_urls"
    version: ClassVar[int] = 1

    @property
    def schema(self) -> pa.Schema:
        return URL_SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:  # noqa: ARG002 - a source
        """Offer them; a StoreError where the rejects of the parent are gone or damaged."""
        rejects = planned_rejects(self.store, self.config.parent, self.config.rejects)
        rows = [listed(row) for row in due_rows(rejects, self.consent) if row["sample_id"] not in self.before]
        for start in range(0, len(rows), self.batch_rows):
            yield StageOutput(pa.RecordBatch.from_pylist(rows[start : start + self.batch_rows], URL_SCHEMA))


def due_rows(rejects: pa.Table, consent: Consent) -> list[dict[str, Any]]:
    """The rows of a download's rejects that were refused, and that a policy has nothing against.

    Raises:
        ConfigError: the block list is not the one of the policy.
    """
    refused = rejects.filter(pc.is_in(rejects["reason"], pa.array(sorted(reason.value for reason in REFUSED))))
    judge = consent.judge()
    return [
        row
        for row in refused.to_pylist()
        if judge.objection(Said.of_evidence(row["source_uri"], json.loads(row["evidence"]))) is None
    ]


def released(
    store: Store, downloads: Sequence[Derivation], download: Download, now: datetime, policy: RetryPolicy
) -> tuple[Derivation, ...]:
    """The downloads of all URLs that were released from some downloads, or are due to be, and their further attempts.

    Args:
        store: tells what was made.
        downloads: attempts at a list, as `attempts` gives them.
        download: how, and with whose consent.
        now: with a time zone.
        policy: when and how often failed ones are tried again.
    """
    found: list[Derivation] = []
    for each in downloads:
        made = committed(each, store)
        if made is None or made.rejects is None:
            continue
        first = int(str(made.params["attempt"])) + 1
        for release in _releases(store, made, download.consent, now):
            found += attempts(store, release, download, now, policy, first)
    return (*found, *released(store, found, download, now, policy)) if found else ()


def _releases(store: Store, made: ShardRecord, consent: Consent, now: datetime) -> Iterator[Derivation]:
    """The releases from one download that were made, and the one that is due."""
    assert made.rejects is not None  # noqa: S101 - of a download that rejected something
    rejects = read_rejects(store, made)
    if not REFUSED & set(rejects["reason"].to_pylist()):
        return
    before: frozenset[str] = frozenset()
    for number in range(len(rejects) + 1):
        config = ReleaseConfig(parent=made.ref, rejects=made.rejects.digest, number=number)
        release = Derivation(ReleasedUrls(config, store, consent, before))
        record = committed(release, store)
        if record is None:
            due = [row for row in due_rows(rejects, consent) if row["sample_id"] not in before]
            if any(datetime.fromisoformat(json.loads(row["evidence"])["last_seen"]) <= now for row in due):
                yield release
            return
        before |= frozenset(pq.read_table(store.data_path(record), columns=["sample_id"])["sample_id"].to_pylist())
        yield release
