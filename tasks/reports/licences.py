"""Under which terms a build stands: of its sources, of its models, and what servers said about reuse."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from tasks.download.reuse import ReusePolicy, opt_out
from tasks.reports.build_facts import BuildFacts, leaves
from tasks.schema.rejections import Reason
from tasks.shards.manifest import BuildModel
from tasks.shards.parquet import read_batches

_BATCH_ROWS = 4096
_SAID = r"x-robots-tag|tdm-reservation"
_EVERYBODY = ReusePolicy()


@dataclass(frozen=True)
class OutputTerms:
    """An output of a build, its rows, and the models that decided them on the way."""

    output: str
    rows: int
    models: tuple[BuildModel, ...]

    @property
    def non_commercial(self) -> tuple[str, ...]:
        """The models that may not be used commercially."""
        return tuple(model.name for model in self.models if model.non_commercial)


@dataclass(frozen=True)
class OptOuts:
    """What servers said against reuse. `asked`: a stage of the build kept what they say.

    `respected` is what the parameters ask for, None where they do not say; `rejected` rows were left out for it,
    `kept` rows (by rule) are in the build though their server said no, as the default policy reads it.
    """

    asked: bool
    respected: bool | None
    rejected: int
    heard: int
    kept: dict[str, int]


def source_licences(build: BuildFacts) -> list[tuple[str, int]]:
    """Rows of the dataset by the licence that their source states, the most first."""
    counted: Counter[str] = Counter()
    for path in build.paths(build.final_stage):
        for batch in read_batches(path, _BATCH_ROWS, ("licence",)):
            counted.update(
                {entry["values"]: entry["counts"] for entry in pc.value_counts(batch["licence"]).to_pylist()}
            )
    return [(licence or "not stated", rows) for licence, rows in counted.most_common()]


def output_terms(build: BuildFacts) -> list[OutputTerms]:
    """Every output with the models behind it."""
    rows = build.output_rows()
    return [
        OutputTerms(name, rows[name], build.models_behind(refs))
        for name, refs in sorted(build.manifest.outputs.items())
    ]


def opt_outs(build: BuildFacts) -> OptOuts:
    """What was said against reuse, and what became of it."""
    stages = [stage for stage in build.stages if "headers" in build.schema(stage).names]
    told = {value for name, value in leaves(build.manifest.params) if name.rpartition(".")[2] == "respect_opt_out"}
    lines = [line for line in build.manifest.funnel.lines if not line.beside]
    rejected = sum(
        counts.get(Reason.OPTED_OUT, 0) for line in lines for counts in (line.rejected, line.children_rejected)
    )
    heard, kept = 0, Counter[str]()
    for headers in (each for stage in stages for each in _headers(build, stage)):
        heard += 1
        no = opt_out(headers, _EVERYBODY)
        if no is not None:
            kept[f"{no.header}: {no.rule}"] += 1
    return OptOuts(
        asked=bool(stages or told),
        respected=None if not told else told == {True},
        rejected=rejected,
        heard=heard,
        kept=dict(kept.most_common()),
    )


def _headers(build: BuildFacts, stage: str) -> Iterator[dict[str, list[str]]]:
    """What was said about reuse, of the rows where anything was: lower-case name -> values."""
    for path in build.paths(stage):
        for batch in read_batches(path, _BATCH_ROWS, ("headers",)):
            mask = pc.match_substring_regex(batch["headers"], _SAID, ignore_case=True)
            for text in batch["headers"].filter(mask).to_pylist():
                yield {name.lower(): _values(value) for name, value in json.loads(text).items()}


def _values(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]
