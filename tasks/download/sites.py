"""robots.txt and tdmrep.json of every host that is asked: once a day at most, whoever asks, over the same transport."""

import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from threading import Lock
from typing import Final
from urllib.parse import SplitResult

from tasks.download.failure import Answer, FetchError
from tasks.download.hops import Hop, SiteFile
from tasks.download.robots import LINE_CHARACTERS, MOST_BYTES, Robots, agent_token, parse_robots
from tasks.download.site_paths import path_of
from tasks.download.tdmrep import WELL_KNOWN, Reservations, parse_tdmrep
from tasks.download.transport import NetworkAccess, Transport, TransportLimits, Wanted
from tasks.schema.rejections import Reason

FRESH_S: Final = 24 * 3600.0
"""How long what a host said is believed; RFC 9309, 2.4, asks for no more."""

TROUBLE_IS_FRESH_S: Final = 2.0
"""How long a host that could not say anything is left alone: whoever comes later asks again."""

MOST_SITES: Final = 20_000
MOST_RULES: Final = 1_000_000
"""What is remembered at once, of the hosts that were asked for last."""

LIMITS: Final = TransportLimits(max_body_bytes=MOST_BYTES, total_timeout_s=10.0)

UNAVAILABLE: Final = frozenset((Reason.HTTP_GONE, Reason.HTTP_REFUSED))
"""Answers that mean that there is no such file: everything may be asked for (RFC 9309, 2.3.1.3). The 4xx that ask to
come back later are not among them."""


@dataclass(frozen=True)
class Site:
    """What a host says of all of its paths. `trouble`: its robots.txt could not be had for now."""

    robots: Robots = field(default_factory=Robots)
    reserved: Reservations = field(default_factory=Reservations)
    robots_file: SiteFile = field(default_factory=SiteFile)
    tdm_file: SiteFile = field(default_factory=SiteFile)
    trouble: FetchError | None = None

    def hop(self, place: SplitResult) -> Hop:
        """What it says of one URL."""
        path = path_of(place)
        rule, reserving = self.robots.rule_for(path), self.reserved.rule_for(path)
        robots, tdm = self.robots_file, self.tdm_file
        if rule is not None:
            robots = robots.model_copy(update={"refuses": not rule.allow, "rule": rule.line})
        if reserving is not None:
            tdm = tdm.model_copy(update={"refuses": True, "rule": reserving[:LINE_CHARACTERS]})
        return Hop(url=place.geturl(), robots=robots, tdm=tdm)

    @property
    def size(self) -> int:
        return len(self.robots.rules) + len(self.reserved.patterns)


class Sites:
    """Hosts and what they say; used by many threads. A host is asked by the first that wants to know; others wait."""

    def __init__(self, access: NetworkAccess, clock: Callable[[], float] = time.monotonic) -> None:
        self._transport = Transport(LIMITS, access)
        self._token = agent_token(access.user_agent)
        self._clock = clock
        self._lock = Lock()
        self._known: OrderedDict[str, tuple[float, Future[Site]]] = OrderedDict()
        self._rules = 0

    def site(self, place: SplitResult) -> Site:
        """What the host of a URL says."""
        origin = f"{place.scheme}://{place.netloc}"
        with self._lock:
            since, asking = self._known.get(origin, (0.0, None))
            ours = asking is None or (asking.done() and self._clock() - since > _fresh_s(asking.result()))
            if ours:
                self._forget(origin)
                asking = Future()
                self._known[origin] = (self._clock(), asking)
            self._known.move_to_end(origin)
        assert asking is not None  # noqa: S101 - ours, or known
        if ours:
            self._ask(origin, asking)
        try:
            return asking.result(2 * LIMITS.total_timeout_s + 1.0)
        except FutureTimeoutError:
            return _unreached(FetchError(Reason.RESPONSE_TIMED_OUT, f"{origin} does not send its robots.txt"))

    def _ask(self, origin: str, asking: Future[Site]) -> None:
        try:
            site = self._asked(origin)
        except BaseException as error:
            asking.set_result(_unreached(FetchError(Reason.CONNECTION_FAILED, f"{origin}: {type(error).__name__}")))
            raise
        asking.set_result(site)
        with self._lock:
            self._known[origin] = (self._clock(), asking)
            self._rules += site.size
            while len(self._known) > MOST_SITES or (self._rules > MOST_RULES and len(self._known) > 1):
                self._forget(next(iter(self._known)))

    def _forget(self, origin: str) -> None:
        _, asking = self._known.pop(origin, (0.0, None))
        if asking is not None and asking.done():
            self._rules -= asking.result().size

    def _asked(self, origin: str) -> Site:
        try:
            robots_file, robots = self._file(f"{origin}/robots.txt")
            site = Site(robots=parse_robots(robots, self._token), robots_file=robots_file)
        except FetchError as error:
            site = _unreached(error)
            if error.answer is None:
                return site
        try:
            tdm_file, reserved = self._file(f"{origin}{WELL_KNOWN}")
        except FetchError as error:
            return replace(site, tdm_file=_without(error))
        return replace(site, reserved=parse_tdmrep(reserved), tdm_file=tdm_file)

    def _file(self, url: str) -> tuple[SiteFile, bytes]:
        """A file of a site; empty where there is none.

        Raises:
            FetchError: nobody can say whether there is one.
        """
        out = BytesIO()
        try:
            answer = self._transport.follow(url, out, Wanted(cut=True))
        except FetchError as error:
            if error.reason in UNAVAILABLE:
                return SiteFile(status=_status(error.answer)), b""
            raise
        return SiteFile(status=_status(answer), sha256=sha256(out.getvalue()).hexdigest()), out.getvalue()


@lru_cache(maxsize=8)
def shared_sites(access: NetworkAccess) -> Sites:
    """What this process knows of hosts, for all who ask them in the same way."""
    return Sites(access)


def _fresh_s(site: Site) -> float:
    return TROUBLE_IS_FRESH_S if site.trouble is not None else FRESH_S


def _unreached(error: FetchError) -> Site:
    """A host whose robots.txt cannot be had says no for now (RFC 9309, 2.3.1.4)."""
    return Site(robots_file=_without(error).model_copy(update={"refuses": True}), trouble=error)


def _without(error: FetchError) -> SiteFile:
    return SiteFile(status=_status(error.answer), rule=f"not to be had: {error.detail}"[:LINE_CHARACTERS])


def _status(answer: Answer | None) -> int:
    return (answer.status if answer else None) or 0
