"""The rows of a sample as steps of its story."""

from collections.abc import Iterator

import pyarrow as pa

from tasks.lineage.builds import KnownBuild, models_of
from tasks.lineage.family import Family, Place
from tasks.lineage.holdings import Holdings, Ref
from tasks.lineage.scan import read_row
from tasks.lineage.story import Step
from tasks.lineage.values import flat, row_values, thresholds
from tasks.schema.records import InputRef, ShardRecord


def step_of(holdings: Holdings, place: Place, build: KnownBuild | None) -> Step:
    """A row as a step; one that does not read says so."""
    step = _step(place.record, place.sample_id, build)
    try:
        row = read_row(holdings.store, place.record, place.row)
    except (OSError, pa.ArrowException) as error:
        problem = f"The row does not read: {str(error).partition(chr(10))[0]}"
        return step.model_copy(update={"problem": problem})
    said = {"source_uri": row["source_uri"][0].as_py(), "licence": row["licence"][0].as_py()}
    return step.model_copy(update={**said, "values": row_values(row)})


def erased_steps(holdings: Holdings, family: Family, build: KnownBuild | None) -> Iterator[tuple[ShardRecord, Step]]:
    """Rows that were erased on purpose: in outputs between one that holds the sample or its kin and one it came to."""
    passed: dict[Ref, str] = {}
    for place in sorted((*family.above, *family.own), key=lambda place: len(place.sample_id)):
        if not place.rejected:
            passed[_ref(place.record)] = place.sample_id
    above = holdings.above(place.record for place in family.own)
    for record in holdings.in_order(above.values()):
        ids = [passed[_ref(each)] for each in holdings.below(record) if _ref(each) in passed]
        if ids and record.erased and (build is None or build.holds(record)):
            passed[_ref(record)] = max(ids, key=len)
            yield record, _step(record, passed[_ref(record)], build).model_copy(update={"erased": True})


def _step(record: ShardRecord, sample_id: str, build: KnownBuild | None) -> Step:
    return Step(
        sample_id=sample_id,
        stage=record.stage,
        version=record.version,
        key=record.key,
        reads=_stages(record.inputs),
        looks_up=_stages(record.sides),
        params=flat(record.params),
        facts=thresholds(record.facts),
        models=models_of(record, build),
    )


def _ref(record: ShardRecord) -> Ref:
    return record.stage, record.key


def _stages(refs: tuple[InputRef, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ref.stage for ref in refs))
