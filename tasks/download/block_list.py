"""A list of what is never fetched nor kept: domains, beginnings of URLs, digests of files; one a line."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult

from tasks.download.address import parse_url
from tasks.download.failure import FetchError
from tasks.download.site_paths import path_of
from tasks.schema.errors import ConfigError

SHOWN_FAULTS: Final = 5
"""Lines that an error names."""

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


@dataclass(frozen=True)
class BlockList:
    """What is blocked. `prefixes`: host, with a port that is not the usual one -> beginnings of path and query."""

    domains: frozenset[str] = frozenset()
    prefixes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    digests: frozenset[str] = frozenset()

    def rule_for_url(self, url: str) -> str | None:
        """The line that blocks a URL: its domain or one above it, or how it begins, whatever the scheme."""
        try:
            place = parse_url(url)
        except FetchError:
            return None
        labels = _host(place).split(".")
        above = (".".join(labels[start:]) for start in range(len(labels)))
        domain = next((name for name in above if name in self.domains), None)
        if domain is not None or not self.prefixes:
            return domain
        where, path = _authority(place), path_of(place)
        begins = next((each for each in self.prefixes.get(where, ()) if path.startswith(each)), None)
        return None if begins is None else where + begins

    def rule_for_file(self, digest: str) -> str | None:
        """The line that blocks a file, by the sha256 of its bytes in hex."""
        return digest if digest in self.digests else None

    @cached_property
    def digest(self) -> str:
        """sha256 over what is blocked, however the file writes it down; empty where nothing is."""
        prefixes = (where + begins for where, every in self.prefixes.items() for begins in every)
        rules = sorted((*self.domains, *prefixes, *self.digests))
        return sha256("\n".join(rules).encode()).hexdigest() if rules else ""


NOTHING_BLOCKED: Final = BlockList()


def parse_block_list(data: bytes, name: str) -> BlockList:
    """The rules of a file; `#` begins a comment.

    Args:
        data: UTF-8.
        name: of the file, for errors.
    Raises:
        ConfigError: lines that are no rule, by their numbers.
    """
    domains, digests = set[str](), set[str]()
    prefixes: dict[str, set[str]] = {}
    faults = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        try:
            text = _rule_text(line.decode())
            if not text:
                continue
            if _DIGEST.fullmatch(text):
                digests.add(text.lower())
            elif "://" in text:
                place = parse_url(text)
                prefixes.setdefault(_authority(place), set()).add(path_of(place))
            else:
                domains.add(_domain(text))
        except (FetchError, ValueError) as error:
            told = error.detail if isinstance(error, FetchError) else str(error)
            faults.append(f"line {number}: {told}")
    if faults:
        more = f" and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        raise ConfigError(
            f"The block list {name} takes domains, beginnings of URLs (https://...) and sha256 digests, one a line: "
            f"{'; '.join(faults[:SHOWN_FAULTS])}{more}."
        )
    return BlockList(
        frozenset(domains), {where: tuple(sorted(begins)) for where, begins in prefixes.items()}, frozenset(digests)
    )


def read_block_list(path: str) -> BlockList:
    """The block list at an absolute path, read again when the file changes; an empty path: nothing is blocked.

    Raises:
        ConfigError: it cannot be read, or has lines that are no rule.
    """
    if not path:
        return NOTHING_BLOCKED
    if not Path(path).is_absolute():
        raise ConfigError(
            f"The block list {path!r} is not absolute: flows run in folders of their own. Give all of it."
        )
    try:
        stat = Path(path).stat()
        return _read(path, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise ConfigError(f"The block list {path} cannot be read: {error.strerror}.") from error


@lru_cache(maxsize=4)
def _read(path: str, _changed: int, _size: int) -> BlockList:
    return parse_block_list(Path(path).read_bytes(), path)


def _rule_text(line: str) -> str:
    """A line without its comment: `#` counts where a word may begin, so that URLs keep theirs."""
    return re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()


def _domain(text: str) -> str:
    place = parse_url(f"http://{text}")
    host = _host(place)
    labels = host.split(".")
    if place.path or place.query or place.port or not all(_is_label(label) for label in _parts(labels, host)):
        raise ValueError(f"{text[:100]!r} is no domain")
    return host


def _parts(labels: list[str], host: str) -> Iterator[str]:
    return iter(()) if ":" in host else iter(labels)


def _is_label(label: str) -> bool:
    return _LABEL.fullmatch(label) is not None


def _host(place: SplitResult) -> str:
    return (place.hostname or "").rstrip(".")


def _authority(place: SplitResult) -> str:
    return place.netloc.replace(f"{place.hostname}", _host(place), 1)
