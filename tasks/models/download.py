"""Fetching weights over HTTP, with progress."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Final

from tasks.models.card import ModelCard
from tasks.shards.watchdog import alive

_LOG = logging.getLogger(__name__)

TIMEOUT_S: Final = 30.0
"""For connecting and for every single read; a slow but steady download may take as long as it needs."""

_CHUNK: Final = 1 << 18


class DownloadError(Exception):
    """The bytes could not be had; the message says why."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(why)
        self.url = url


def fetch(card: ModelCard, stream: IO[bytes]) -> str:
    """Write the card's bytes to `stream`, and not one more than the card or the server announced.

    Returns:
        the URL they were asked from.
    Raises:
        DownloadError: no network, refused, not there, cut short, or longer than announced.
    """
    import httpx

    url, headers = _request(card)
    try:
        with (
            httpx.Client(follow_redirects=True, timeout=TIMEOUT_S) as client,
            client.stream("GET", url, headers={**headers, "Accept-Encoding": "identity"}) as response,
        ):
            response.raise_for_status()
            expected = card.size_bytes or int(response.headers.get("Content-Length", 0)) or None
            done = _pour(response.iter_raw(_CHUNK), stream, card.file_name, expected)
    except httpx.HTTPStatusError as error:
        raise DownloadError(url, _refusal(error.response.status_code)) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DownloadError(url, f"{error or type(error).__name__} (no network?)") from error
    if expected is not None and done != expected:
        more = "more than the" if done > expected else f"{done:,} of"
        raise DownloadError(url, f"the server sent {more} {expected:,} bytes")
    return url


def _pour(chunks: Iterator[bytes], stream: IO[bytes], label: str, expected: int | None) -> int:
    """Copy until the end, or until more comes than was expected; returns the bytes that came."""
    done = 0
    with _progress(label, expected) as show:
        for chunk in chunks:
            alive()
            done += len(chunk)
            if expected is not None and done > expected:
                break
            stream.write(chunk)
            show(done)
    return done


def _request(card: ModelCard) -> tuple[str, dict[str, str]]:
    """The URL, and for the hub the headers, which hold the token of whoever is logged in."""
    if card.url:
        return card.url, {}
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = hf_hub_url(card.hub_repo, card.hub_path, revision=card.revision)
    if constants.HF_HUB_OFFLINE:
        raise DownloadError(url, "HF_HUB_OFFLINE is set")
    return url, build_hf_headers()


def _refusal(status: int) -> str:
    told = {
        401: "it needs a token (log in with `hf auth login`, or set HF_TOKEN)",
        403: "access is refused (accept the terms on its page, with the account of your token)",
        404: "there is no such file",
    }
    return f"HTTP {status}: {told[status]}" if status in told else f"the server answers HTTP {status}"


@contextmanager
def _progress(label: str, expected: int | None) -> Iterator[Callable[[int], None]]:
    """A bar where somebody looks, a log line every tenth elsewhere."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(label, total=expected)
            yield lambda done: bar.update(task, completed=done)
        return
    tenths = -1

    def log(done: int) -> None:
        nonlocal tenths
        now = done * 10 // expected if expected else done >> 24
        if now > tenths:
            tenths = now
            _LOG.info("%s: %.1f%s MB", label, done / 1e6, f" of {expected / 1e6:.1f}" if expected else "")

    yield log
