"""What the stages of a build measured on their way, over all of their shards."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from pydantic import JsonValue

from tasks.reports.build_facts import BuildFacts, leaves, said

MOST_FACTS: Final = 60
"""Of one stage; what is beyond is counted."""

_MOST_VALUES: Final = 3
_LONG_LIST: Final = 12


@dataclass(frozen=True)
class Fact:
    """Something that a stage measured: `told` in words, over `shards` shards."""

    stage: str
    name: str
    told: str
    shards: int


def measured(build: BuildFacts) -> list[Fact]:
    """The facts of all stages, from the sources on: one value, or where shards differ, from the least to the most."""
    found = []
    for stage in build.stages:
        values: dict[str, list[JsonValue]] = {}
        for shard in build.all_shards_of(stage):
            for name, value in leaves(shard.facts):
                values.setdefault(name, []).append(value)
        facts = [Fact(stage, name, _told(each), len(each)) for name, each in values.items()]
        found += facts[:MOST_FACTS]
        if len(facts) > MOST_FACTS:
            found.append(Fact(stage, "...", f"{len(facts) - MOST_FACTS} more", len(facts)))
    return found


def _told(values: Sequence[JsonValue]) -> str:
    numbers = [each for each in values if isinstance(each, int | float) and not isinstance(each, bool)]
    if len(numbers) == len(values) > 1 and len(set(numbers)) > 1:
        return f"{_number(min(numbers))} to {_number(max(numbers))}, median {_number(median(numbers))}"
    counted = Counter(_short(each) for each in values)
    if len(counted) == 1:
        return next(iter(counted))
    most = ", ".join(f"{text} ({count} times)" for text, count in counted.most_common(_MOST_VALUES))
    return most if len(counted) <= _MOST_VALUES else f"{most}, {len(counted) - _MOST_VALUES} other values"


def _short(value: JsonValue) -> str:
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list) and len(value) > _LONG_LIST:
        return f"{len(value):,} values"
    return said(value)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"
