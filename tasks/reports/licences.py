"""Under which terms a build stands: of its sources, of its models, and what servers said about reuse."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from tasks.download.consent import Consent, Kind, Said, opt_out_kind
from tasks.download.failure import REFUSED
from tasks.download.hops import read_hops
from tasks.reports.build_facts import BuildFacts, leaves
from tasks.shards.manifest import BuildModel
from tasks.shards.parquet import read_batches

_BATCH_ROWS = 4096
_SAYS: Final = {"headers": r"x-robots-tag|tdm-reservation", "reuse": r"\"rule\"|x-robots-tag|tdm-reservation"}
"""What a column holds where something was said about reuse."""

_STRICT: Final = Consent().judge()
_KINDS: Final[dict[Kind | None, str]] = {
    "header": "X-Robots-Tag",
    "robots": "robots.txt",
    "tdm": "TDM reservation",
    "block_list": "block list",
    None: "not told by what",
}


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

    `respected` is what the parameters ask for, None where they do not say; `rejected` rows, by who says so or the block
    list, were left out for it; `kept` rows, by rule, are in the build though their server said no, as the default
    policy reads it.
    """

    asked: bool
    respected: bool | None
    rejected: dict[str, int]
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
    stages = [stage for stage in build.stages if "headers" in build.schema(stage).names][-1:]
    told = {value for name, value in leaves(build.manifest.params) if name.rpartition(".")[2] == "respect_opt_out"}
    rejected = Counter[str]()
    for _, batch in build.rejects(("reason", "evidence")):
        refused = batch.filter(pc.is_in(batch["reason"], pa.array(sorted(reason.value for reason in REFUSED))))
        rejected.update(_KINDS[opt_out_kind(evidence)] for evidence in refused["evidence"].to_pylist())
    heard, kept = 0, Counter[str]()
    for said in (each for stage in stages for each in _said(build, stage)):
        heard += 1
        no = _STRICT.objection(said)
        if no is not None:
            kept[f"{_KINDS[no.kind]}: {no.rule}"] += 1
    return OptOuts(
        asked=bool(stages or told),
        respected=None if not told else told == {True},
        rejected=dict(rejected.most_common()),
        heard=heard,
        kept=dict(kept.most_common()),
    )


def _said(build: BuildFacts, stage: str) -> Iterator[Said]:
    """What was said about reuse, of the rows where anything was."""
    columns = tuple(name for name in ("headers", "reuse") if name in build.schema(stage).names)
    for path in build.paths(stage):
        for batch in read_batches(path, _BATCH_ROWS, columns):
            masks = [pc.match_substring_regex(batch[name], _SAYS[name], ignore_case=True) for name in columns]
            mask = pc.fill_null(reduce(pc.or_kleene, masks), fill_value=False)
            for row in batch.filter(mask).to_pylist():
                yield Said((), read_hops(row.get("reuse")), json.loads(row["headers"]))
