"""What is fetched, and what is not asked for: addresses with the consent of those who publish there."""

from dataclasses import dataclass, replace
from io import BytesIO
from typing import IO
from urllib.parse import SplitResult

from tasks.download.consent import Consent, Judge, Objection, Said
from tasks.download.failure import Answer, FetchError
from tasks.download.hops import Hop
from tasks.download.reuse import REUSE_HEADERS
from tasks.download.sites import Sites, shared_sites
from tasks.download.transport import REDIRECTS, NetworkAccess, Transport, TransportLimits, Wanted
from tasks.images.headers import picture_format
from tasks.schema.rejections import Reason


@dataclass(frozen=True)
class Fetched:
    """The bytes of a picture and what the server said of it."""

    body: bytes
    answer: Answer


class Client:
    """Fetches URLs; one instance serves any number of threads.

    Every host on the way is asked for its robots.txt and tdmrep.json, whether or not `consent` respects them: what they
    say stands in `Answer.hops`.

    Raises:
        ConfigError: the block list has changed.
    """

    def __init__(self, limits: TransportLimits, consent: Consent, access: NetworkAccess) -> None:
        self._transport = Transport(limits, access)
        self.judge = consent.judge()
        self._sites = shared_sites(access)

    def fetch(self, url: str) -> Fetched:
        """The picture at `url`.

        Raises:
            FetchError: it cannot be had, or is not to be; nothing else, whatever the server does.
        """
        body = BytesIO()
        answer = self._follow(url, body, Wanted(sniff=_sniff))
        return Fetched(body.getvalue(), answer)

    def fetch_into(self, url: str, out: IO[bytes]) -> Answer:
        """What is at `url`, whatever it is, written as it comes.

        Raises:
            FetchError: it cannot be had, or is not to be; `out` then holds a part, or nothing.
            StoreError: it cannot be written.
        """
        return self._follow(url, out, Wanted())

    def _follow(self, url: str, out: IO[bytes], wanted: Wanted) -> Answer:
        asking = _Asking(self.judge, self._sites)
        try:
            answer = self._transport.follow(url, out, wanted, asking)
        except FetchError as error:
            if error.answer is not None:
                error.answer = replace(error.answer, hops=asking.hops)
            raise
        return replace(answer, hops=asking.hops)


class _Asking:
    """One URL on its way, hop by hop."""

    def __init__(self, judge: Judge, sites: Sites) -> None:
        self.hops: tuple[Hop, ...] = ()
        self._judge = judge
        self._sites = sites

    def before(self, place: SplitResult) -> None:
        """Stop before an address that is blocked, or whose host does not want us there."""
        answer = Answer(place.geturl())
        self._demand(Said((answer.url,)), answer)
        site = self._sites.site(place)
        self.hops = (*self.hops, site.hop(place))
        if site.trouble is not None and self._judge.rules.robots_txt:
            raise _for_now(site.trouble, answer)
        self._demand(Said((), self.hops[-1:]), answer)

    def heard(self, answer: Answer) -> None:
        """Stop where the headers say no."""
        if answer.status in REDIRECTS:
            told = {name: value for name, value in answer.headers.items() if name in REUSE_HEADERS}
            self.hops = (*self.hops[:-1], self.hops[-1].model_copy(update={"headers": told}))
        self._demand(Said((), headers=answer.headers), answer)

    def _demand(self, said: Said, answer: Answer) -> None:
        no = self._judge.objection(said)
        if no is not None:
            raise refusal_of(no, answer)


def refusal_of(no: Objection, answer: Answer) -> FetchError:
    """An objection as the failure of a URL."""
    return FetchError(no.reason, no.detail, answer, found=no.evidence())


def _for_now(trouble: FetchError, answer: Answer) -> FetchError:
    """A host whose robots.txt cannot be had: what fails there fails for the same reason, and may pass as that does."""
    if trouble.answer is None:
        return FetchError(trouble.reason, trouble.detail)
    told = replace(answer, status=trouble.answer.status)
    return FetchError(trouble.reason, f"robots.txt: {trouble.detail}", told, trouble.retry_after_s)


def _sniff(head: bytes, answer: Answer) -> None:
    if picture_format(head) is None:
        kind = answer.headers.get("content-type", "no type")[:100]
        detail = f"no picture: begins with {head[:16]!r} ({kind})" if head else f"an empty answer ({kind})"
        raise FetchError(Reason.RESPONSE_NO_IMAGE, detail, answer)
