"""What a failed request is to the rest of the program."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.download.hops import Hop
from tasks.schema.rejections import Reason

RETRYABLE = frozenset(
    (
        Reason.CONNECTION_FAILED,
        Reason.DNS_FAILED,
        Reason.HTTP_RATE_LIMITED,
        Reason.HTTP_SERVER_ERROR,
        Reason.RESPONSE_TIMED_OUT,
        Reason.RESPONSE_TRUNCATED,
        Reason.TLS_FAILED,
    )
)
"""What another day may mend. A server that says no, has nothing (404, 410) or opts out is not asked again."""


REFUSED = frozenset((Reason.BLOCKED, Reason.OPTED_OUT))
"""Reasons that another policy may not have: what was said is kept, to be judged again."""


@dataclass(frozen=True)
class Answer:
    """What a server said besides the body: `status` None where none answered; `headers` are those that are kept.

    `hops` are the addresses on the way to it, with what their hosts say about reuse.
    """

    url: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    hops: tuple[Hop, ...] = ()


class FetchError(Exception):
    """One URL that gave no picture.

    `answer` is None where the URL's own host said nothing at all. `retry_after_s`: how long the server asked us to stay
    away; `found`: what else belongs in the evidence.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        answer: Answer | None = None,
        retry_after_s: float | None = None,
        found: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.answer = answer
        self.retry_after_s = retry_after_s
        self.found = dict(found or {})
