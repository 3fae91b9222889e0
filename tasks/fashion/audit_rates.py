"""How often the predicted category of a look is not that of the garments which a person saw in it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from tasks.audit.ledger import AuditVerdict
from tasks.audit.questions import JUDGED, RIGHT, UNSURE, WRONG, Question
from tasks.audit.rates import ErrorRate, error_rates
from tasks.fashion.audit_ledger import LookVerdict
from tasks.fashion.labels import category_of
from tasks.fashion.photos import GROUPED, auditable
from tasks.schema.fashion import RUNWAY, STREET


def look_rates(groups: Path, predicted: Sequence[Path], verdicts: Iterable[LookVerdict]) -> tuple[ErrorRate, ...]:
    """The error rate of the predicted categories, of each side by itself; a photo without one counts as unsure.

    Args:
        groups: a shard of `GROUPED_SCHEMA`.
        predicted: shards of `PREDICTED_SCHEMA`.
        verdicts: that stand.
    """
    seen = {verdict.sample_id: category_of(verdict.garments) for verdict in verdicts}
    if not seen:
        return ()
    table = pq.read_table(groups, columns=list(GROUPED))
    said = _judged(predicted, seen)
    return tuple(
        rate
        for side in (RUNWAY, STREET)
        for rate in error_rates(
            auditable(table, side), (Question("category", f"The category of a {side} photo fits", JUDGED),), said
        )
    )


def _judged(predicted: Sequence[Path], seen: dict[str, str]) -> list[AuditVerdict]:
    found: list[AuditVerdict] = []
    for path in predicted:
        read = pq.read_table(
            path, columns=["sample_id", "pred_category", "abstained"], filters=[("sample_id", "in", sorted(seen))]
        )
        for row in read.to_pylist():
            fits = RIGHT if row["pred_category"] == seen[row["sample_id"]] else WRONG
            found.append(
                AuditVerdict(
                    flow="runway_street",
                    sample_id=row["sample_id"],
                    question="category",
                    answer=UNSURE if row["abstained"] else fits,
                )
            )
    return found
