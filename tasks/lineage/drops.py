"""Rejections of a sample: the stage, the reason, the rules that held, and whom it was like."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import JsonValue

from tasks.lineage.builds import KnownBuild, models_of
from tasks.lineage.family import Place
from tasks.lineage.holdings import Holdings
from tasks.lineage.scan import Look, exactly, read_row, scan
from tasks.lineage.story import Drop
from tasks.lineage.values import flat, thresholds

_MOST_NAMED = 50
"""Words of a rejection that are looked up as ids."""


def drop_of(holdings: Holdings, place: Place, build: KnownBuild | None, *, related: bool = True) -> Drop:
    """A row of rejects as it is told.

    Args:
        related: look for the samples that it names.
    """
    record = place.record
    drop = Drop(
        sample_id=place.sample_id,
        stage=record.stage,
        version=record.version,
        key=record.key,
        reason="unknown",
        detail="",
        params=flat(record.params),
        facts=thresholds(record.facts),
        models=models_of(record, build),
    )
    try:
        (row,) = read_row(holdings.store, record, place.row, rejected=True).to_pylist()
    except (OSError, pa.ArrowException) as error:
        return drop.model_copy(update={"detail": f"The row does not read: {str(error).partition(chr(10))[0]}"})
    evidence = _parsed(row["evidence"])
    told = drop.model_copy(
        update={
            **{name: row[name] for name in ("reason", "detail", "score", "source_uri")},
            "evidence": evidence,
        }
    )
    return told.model_copy(update={"same_as": _same_as(holdings, place, told)}) if related else told


def _parsed(evidence: str | None) -> JsonValue:
    if evidence is None:
        return None
    with suppress(ValueError):
        parsed: JsonValue = json.loads(evidence)
        return parsed
    return evidence


def _same_as(holdings: Holdings, place: Place, drop: Drop) -> tuple[str, ...]:
    """Ids in what the rejection says that the stage, or what it read, really holds."""
    words = [word.rstrip(".:") for word in re.findall(r"[^\s'\"(),;]+", drop.detail) if "/" in word]
    named = [word for word in dict.fromkeys((*words, *_texts(drop.evidence))) if word != place.sample_id]
    named = named[:_MOST_NAMED]
    if not named:
        return ()
    near = {(each.stage, each.key): each for each in holdings.below(place.record)}
    near |= {(each.stage, each.key): each for each in holdings.records if each.stage == place.record.stage}
    wanted = pa.array(named)
    needles = tuple(exactly(each) for each in named)
    look = Look(("sample_id",), lambda table: pc.is_in(table["sample_id"], value_set=wanted), needles=needles)
    found = {each for rows in scan(holdings.store, near.values(), look) for each in rows.column("sample_id")}
    return tuple(each for each in named if each in found)


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
