"""Random samples by a hash of ids: the same on every machine, and still fair after rows came and went."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hashlib import sha256


def audit_sample(sample_ids: Iterable[str], count: int, seed: int = 0) -> list[str]:
    """A random sample in random order, however the ids are ordered.

    A larger sample of the same seed begins with the smaller one, and new photos change it only by joining it.
    """
    return sorted(set(sample_ids), key=lambda name: _place(name, seed))[:count]


@dataclass(frozen=True)
class Fair:
    """The answered part of a random sample.

    Args:
        answered: samples that were judged and belong to it.
        missing: samples that belong to it and were not judged: those passed over, and those that came later.
    """

    answered: tuple[str, ...]
    missing: tuple[str, ...]


def fair_sample(sample_ids: Iterable[str], answered: Collection[str], seed: int = 0) -> Fair:
    """Which answers are a random sample of some rows: all rows up to the last answered one, in the order of the draw.

    Args:
        sample_ids: of all rows.
        answered: ids of what was judged, also of rows that are gone.
    """
    judged = frozenset(answered)
    places = {name: _place(name, seed) for name in sample_ids}
    last = max((places[name] for name in judged if name in places), default=b"")
    within = sorted((name for name, place in places.items() if place <= last), key=places.__getitem__)
    return Fair(tuple(name for name in within if name in judged), tuple(name for name in within if name not in judged))


def _place(name: str, seed: int) -> bytes:
    return sha256(f"{seed}/{name}".encode()).digest()
