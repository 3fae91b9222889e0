"""Ledgers without the samples that go: a number that was given stays given, under a name that says nothing.

Every other line stays as it is, so that numbers, verdicts and the order of the segments read as before.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from tasks.forget.doomed import Erased
from tasks.forget.exports_names import Names, StandIn
from tasks.forget.folders import Taken
from tasks.shards.files import disk_errors_explained
from tasks.shards.numbers import Numbers
from tasks.shards.store import Store

_RESTORE: Final = "is damaged: restore it from a backup."

Cut = Callable[[bytes], tuple[bytes, int]]
"""A segment, to what it is now and how many lines of it went."""


def erase_from_ledgers(store: Store, names: Names, stand_in: StandIn) -> Erased:
    """Take samples out of the ledgers of numbers and of verdicts.

    The ledgers are what names the files of samples: all places where those lie come before them.

    Args:
        stand_in: what a number is kept under; see `tasks.shards.tombstones`.
    """
    taken = Taken("ledgers", store.files)
    kinds: tuple[tuple[str, Cut], ...] = (
        ("ledgers", lambda data: _numbers(data, names, stand_in)),
        ("verdicts", lambda data: _verdicts(data, names)),
    )
    with disk_errors_explained(store.root):
        for kind, cut in kinds:
            for path in sorted(store.fresh(kind).glob("*/[0-9]*.json")):
                _cut(path, cut, taken)
    return replace(taken.erased, again=bool(taken.problems))


def _cut(path: Path, cut: Cut, taken: Taken) -> None:
    try:
        data, gone = cut(path.read_bytes())
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError):
        taken.problems.append(f"{path} {_RESTORE}")
    else:
        if gone:
            taken.replace(path, data, gone)


def _numbers(data: bytes, names: Names, stand_in: StandIn) -> tuple[bytes, int]:
    segment = Numbers.model_validate_json(data)
    gone = sum(each in names.ids for each in segment.sample_ids)
    left = tuple(stand_in(each) if each in names.ids else each for each in segment.sample_ids)
    return Numbers.of(segment.prefix, segment.first, left).model_dump_json(indent=0).encode(), gone


def _verdicts(data: bytes, names: Names) -> tuple[bytes, int]:
    """Of whatever kind: a verdict goes if it is about one of them; see `tasks.shards.ledger.digest_of`."""
    segment: dict[str, Any] = json.loads(data)
    left = [verdict for verdict in segment["verdicts"] if not names.has_row(verdict)]
    said = json.dumps(left, separators=(",", ":"), sort_keys=True)
    cut = segment | {"verdicts": left, "sha256": sha256(said.encode()).hexdigest()}
    return json.dumps(cut, indent=0, ensure_ascii=False).encode(), len(segment["verdicts"]) - len(left)
