"""What is to be forgotten: samples, everything made of them, and by what it can be recognised elsewhere."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Doomed:
    """Samples and all of their descendants, over every output of a store.

    Args:
        sample_ids: ids of rows that go: those that were named, and all that were made of them.
        roots: those of them that were named themselves, as sources gave them: photos, films, videos.
        source_uris: addresses and paths that rows of them were read from.
        digests: sha256 or BLAKE3 in hex of files whose bytes are theirs (photos, clips, patches).
    """

    sample_ids: frozenset[str]
    roots: frozenset[str]
    source_uris: frozenset[str]
    digests: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.sample_ids or self.source_uris or self.digests)


@dataclass(frozen=True)
class Erased:
    """What was taken out of one kind of place, for the receipt.

    Args:
        place: what it is, for people: "shards", "exports", "reports", "database", "Prefect artifacts".
        things: how many were rewritten or removed.
        rows: rows, members or entries of them that are gone.
        removed: digests in hex of the files as they were, that are gone or were rewritten.
        problems: what could not be reached, and what to do, a sentence each.
        again: something of it may be reached by a later call.
    """

    place: str
    things: int
    rows: int
    removed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    again: bool = False
