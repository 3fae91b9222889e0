"""What the head of an answer says: headers that are kept, refusals, pauses, where to look instead."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPMessage
from typing import Final

from tasks.download.failure import Answer, FetchError
from tasks.download.reuse import REUSE_HEADERS
from tasks.schema.rejections import Reason

KEPT_HEADERS: Final = REUSE_HEADERS | frozenset(
    (
        *("age", "cache-control", "content-encoding", "content-length", "content-type", "content-usage", "date"),
        *("etag", "expires", "last-modified", "link", "retry-after", "server"),
    )
)
"""What the server said about the picture and its reuse. No cookies, nothing about us."""

HEADER_CHARACTERS: Final = 1024
"""Of each header that is kept, but for those on reuse, which are kept whole."""

RETRY_AFTER_CAP_S: Final = 7 * 86400.0


def kept_headers(headers: HTTPMessage) -> dict[str, str]:
    """Those of `KEPT_HEADERS` that are there, lower-case names, sorted.

    Lines of one name are joined: by line ends where they are about reuse, else by commas.
    """
    kept: dict[str, str] = {}
    for name, value in headers.items():
        low = name.lower()
        if low in KEPT_HEADERS:
            text = " ".join(value.split("\n")) if low in REUSE_HEADERS else value
            between = "\n" if low in REUSE_HEADERS else ", "
            kept[low] = f"{kept[low]}{between}{text}" if low in kept else text
    return {name: kept[name] if name in REUSE_HEADERS else kept[name][:HEADER_CHARACTERS] for name in sorted(kept)}


def refused(answer: Answer, retry_after: str | None, now: datetime | None = None) -> FetchError:
    """What a status other than success is."""
    status = answer.status or 0
    wait = retry_after_seconds(retry_after, now or datetime.now(UTC))
    told = f"HTTP {status}" + (f", come back in {wait:.0f} s" if wait is not None else "")
    if status in (404, 410):
        return FetchError(Reason.HTTP_GONE, told, answer)
    if status in (425, 429):
        return FetchError(Reason.HTTP_RATE_LIMITED, told, answer, wait)
    if status == 408:
        return FetchError(Reason.RESPONSE_TIMED_OUT, told, answer, wait)
    if status >= 500:
        return FetchError(Reason.HTTP_SERVER_ERROR, told, answer, wait)
    return FetchError(Reason.HTTP_REFUSED, told, answer, wait)


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After asks for, as a number or as a date, at most a week; None: nothing understood."""
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(r"[0-9]{1,12}", text):
        return min(float(text), RETRY_AFTER_CAP_S)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(max(0.0, (when - now).total_seconds()), RETRY_AFTER_CAP_S)


def location_of(headers: Mapping[str, str] | HTTPMessage, answer: Answer) -> str:
    """Where a redirect leads.

    Raises:
        FetchError: it does not say.
    """
    location = headers.get("location")
    if not location:
        raise FetchError(Reason.REDIRECT_REFUSED, f"HTTP {answer.status} without a place to go", answer)
    # browsers take what servers send as UTF-8; the parser gave it as Latin-1
    return location.encode("latin-1", "replace").decode("utf-8", "replace")
