"""The stage that holds photos against the policy of today: a stricter one than at the download needs no network."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import pyarrow as pa

from tasks.download.consent import Consent, ConsentRules, Objection, Said
from tasks.schema.rejections import Rejection
from tasks.schema.webbody import WEB_PHOTO_SCHEMA
from tasks.shards.stage import Stage, StageOutput

_TOLD: Final = (
    *("sample_id", "idx", "label", "licence", "source_uri", "url", "final_url", "sha256"),
    *("http_status", "attempt", "fetched_at", "headers", "reuse"),
)


@dataclass(frozen=True)
class Consented(Stage):
    """Photos that may be kept, as they came; the others with what was said against them. See `of`.

    `consent` says where the block list lies; its rules are the configuration.
    """

    config: ConsentRules
    consent: Consent

    name: ClassVar[str] = "consent"
    version: ClassVar[int] = 1

    @classmethod
    def of(cls, consent: Consent) -> "Consented":
        """The stage for a policy."""
        return cls(consent.rules, consent)

    @property
    def schema(self) -> pa.Schema:
        return WEB_PHOTO_SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        judge = self.consent.judge()
        for batch in batches:
            rows = batch.select(list(_TOLD)).to_pylist()
            said = [judge.objection(Said.of_row(row)) for row in rows]
            kept = batch if not any(said) else batch.filter(pa.array([no is None for no in said]))
            refused = tuple(_rejection(row, no) for row, no in zip(rows, said, strict=True) if no is not None)
            yield StageOutput(kept, refused)


def _rejection(row: dict[str, Any], no: Objection) -> Rejection:
    told = {
        **{name: row[name] for name in ("idx", "label", "licence", "attempt", "final_url", "sha256")},
        "status": row["http_status"],
        "last_seen": row["fetched_at"].isoformat(timespec="milliseconds"),
        "headers": json.loads(row["headers"]),
        "reuse": json.loads(row["reuse"]) if row["reuse"] else [],
        **no.evidence(),
    }
    return Rejection(row["sample_id"], no.reason, no.detail, source_uri=row["source_uri"], evidence=json.dumps(told))
