"""What people said of samples: a ledger by sample ids, so that it survives every rebuild.

<root>/verdicts/audit/000001.json ...     a ledger, see `tasks.shards.ledger`

Of two verdicts on one question about a sample the later counts.
"""

from collections.abc import Sequence

from tasks.schema.records import Frozen
from tasks.shards.ledger import VerdictLedger
from tasks.shards.store import Store

AUDIT_LEDGER = "audit"


class AuditVerdict(Frozen):
    """What a person said of a sample of a flow: `answer` is one of those of the question."""

    flow: str
    sample_id: str
    question: str
    answer: str
    reviewer: str = ""


def add_audit_verdicts(store: Store, verdicts: Sequence[AuditVerdict]) -> int:
    """Put verdicts down; those that stand already are not repeated. Durable when this returns.

    Returns:
        how many were new.
    Raises:
        StoreError: the ledger is damaged, or the store cannot be written.
    """
    return _ledger(store).add(verdicts)


def read_audit_verdicts(store: Store, flow: str) -> tuple[AuditVerdict, ...]:
    """The verdicts on samples of a flow that stand.

    Raises:
        StoreError: the ledger is damaged.
    """
    return tuple(verdict for verdict in _ledger(store).standing() if verdict.flow == flow)


def _ledger(store: Store) -> VerdictLedger[AuditVerdict]:
    return VerdictLedger(
        store,
        AUDIT_LEDGER,
        AuditVerdict,
        about=lambda verdict: (verdict.flow, verdict.sample_id, verdict.question),
        word=lambda verdict: None if verdict is None else verdict.answer,
    )
