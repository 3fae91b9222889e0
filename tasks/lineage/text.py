"""A story as lines of text, for a terminal."""

from collections.abc import Iterable, Iterator, Mapping
from textwrap import wrap

from pydantic import JsonValue

from tasks.lineage.story import Answer, Drop, ExportedFile, ModelUsed, Standing, Step, Story

WIDTH = 120
_SHORT_KEY = 12


def lines_of(answer: Answer) -> list[str]:
    """What a person reads: the story, or the samples that the query may mean."""
    lines = list(answer.notes)
    if answer.story is not None:
        return [*lines, *story_lines(answer.story)]
    several = len(answer.sample_ids) + answer.more
    lines.append(f"{answer.query} is {answer.how}: {several:,} samples are meant. Name one of them:")
    lines += [f"  {sample_id}" for sample_id in answer.sample_ids]
    return [*lines, f"  and {answer.more:,} more"] if answer.more else lines


def story_lines(story: Story) -> list[str]:
    """A story from its source to its exports."""
    return [
        story.sample_id,
        *_indented([_verdict(story)]),
        *_section("Where it came from", _origin(story)),
        *_section("Stages", _steps(story)),
        *_section("Why it is missing", _drop(story.dropped) if story.dropped else ()),
        *_section("Left out beside it", [line for drop in story.repeats for line in _short_drop(drop)]),
        *_section("What was made from it", _children(story)),
        *_section("Files of exports", [_file(each) for each in story.exports]),
        *_section("Builds", [_standing(each) for each in story.builds]),
        *_section("Elsewhere in the store", list(_elsewhere(story))),
        *_section("Not told", story.notes),
    ]


def _verdict(story: Story) -> str:
    if story.dropped is not None:
        return f"dropped by {story.dropped.stage}: {story.dropped.reason}. {story.dropped.detail}"
    if not story.steps:
        return "nothing of it can be read"
    said = f"kept, up to {story.steps[-1].stage}"
    if story.children:
        last = story.children[-1]
        said += f"; of what was made from it {last.count:,} row{'s' if last.count > 1 else ''} came to {last.stage}"
    return said if story.builds else f"{said}; no build holds it"


def _origin(story: Story) -> Iterator[str]:
    origin = story.origin
    yield f"source    {origin.source_uri or 'unknown'}"
    yield f"licence   {origin.licence or 'none given'}"
    if origin.sample_id != story.sample_id:
        yield f"made from {origin.sample_id}"
    if origin.where:
        yield from _pairs("where     ", origin.where)


def _steps(story: Story) -> Iterator[str]:
    """Each step with what it says beyond those before it of the same sample."""
    said: dict[str, dict[str, JsonValue]] = {}
    for step in story.steps:
        before = said.setdefault(step.sample_id, {})
        new = {name: value for name, value in step.values.items() if name not in before or before[name] != value}
        before.update(step.values)
        yield from _step(step, new, story.sample_id)


def _step(step: Step, values: dict[str, JsonValue], sample_id: str) -> Iterator[str]:
    of = "" if step.sample_id == sample_id else f"  of {step.sample_id}"
    yield f"{step.stage} v{step.version}  {step.key[:_SHORT_KEY]}{of}"
    reads = ", ".join(step.reads)
    beside = ", ".join(each for each in step.looks_up if each not in step.reads)
    if reads:
        yield f"  made from  {reads}" + (f"; looked up in {beside}" if beside else "")
    if step.erased:
        yield "  row        erased on purpose; what was made of it counts on"
    elif step.problem:
        yield f"  row        {step.problem}"
    else:
        yield from _indented(_pairs("row        ", values) or ["row        says what the rows before say"])
    yield from _indented(_decided(step.params, step.facts, step.models))


def _decided(
    params: Mapping[str, JsonValue], facts: Mapping[str, JsonValue], models: Iterable[ModelUsed]
) -> Iterator[str]:
    yield from _pairs("parameters ", params)
    yield from _pairs("measured   ", facts)
    for model in models:
        terms = f"licence {model.licence}{', non-commercial' if model.non_commercial else ''}"
        yield f"model      {model.name}  sha256 {model.sha256[:16]}  {terms}"


def _drop(drop: Drop) -> Iterator[str]:
    yield f"{drop.stage} v{drop.version}  {drop.key[:_SHORT_KEY]}"
    yield f"  reason     {drop.reason}"
    yield f"  detail     {drop.detail}"
    if drop.score is not None:
        yield f"  score      {drop.score:.6g}"
    if drop.evidence is not None:
        yield from _indented(_evidence(drop.evidence))
    for each in drop.same_as:
        yield f"  see        {each}"
    yield from _indented(_decided(drop.params, drop.facts, drop.models))


def _evidence(evidence: JsonValue) -> Iterator[str]:
    if isinstance(evidence, dict):
        yield from _pairs("evidence   ", evidence)
    elif isinstance(evidence, list):
        for at, each in enumerate(evidence, 1):
            yield from _pairs(f"evidence {at:<2}", each if isinstance(each, dict) else {"": each})
    else:
        yield f"evidence   {evidence}"


def _short_drop(drop: Drop) -> Iterator[str]:
    score = "" if drop.score is None else f" ({drop.score:.4g})"
    yield f"{drop.sample_id}  {drop.stage}: {drop.reason}{score}. {drop.detail}"
    if drop.source_uri:
        yield f"  {drop.source_uri}"


def _children(story: Story) -> Iterator[str]:
    for each in story.children:
        more = each.count - len(each.sample_ids)
        yield f"{each.stage}  {each.count:,} row{'s' if each.count > 1 else ''}"
        yield from (f"  {sample_id}" for sample_id in each.sample_ids)
        if more > 0:
            yield f"  and {more:,} more"
    for dropped in story.children_dropped:
        yield f"left out by {dropped.stage}: {dropped.count:,}"
        for drop in dropped.first:
            score = "" if drop.score is None else f" ({drop.score:.4g})"
            yield f"  {drop.sample_id}  {drop.reason}{score}. {drop.detail}"
        if dropped.count > len(dropped.first):
            yield f"  and {dropped.count - len(dropped.first):,} more"


def _file(file: ExportedFile) -> str:
    state = {"": "", "whole": "", "changed": "  (changed since it was written)", "missing": "  (not there any more)"}
    return f"{file.folder}/{file.name}{state[file.state]}"


def _standing(standing: Standing) -> str:
    name = f"{standing.flow} {standing.digest[:_SHORT_KEY]}{' (latest)' if standing.latest else ''}"
    if standing.outcome == "dropped":
        return f"{name}  dropped by {standing.stage}: {standing.reason}{'  <- told here' if standing.told else ''}"
    return f"{name}  kept, up to {standing.stage}{'  <- told here' if standing.told else ''}"


def _elsewhere(story: Story) -> Iterator[str]:
    for each in story.elsewhere:
        builds = ", ".join(each.builds) or "no build"
        yield f"{each.stage} v{each.version}  {each.key[:_SHORT_KEY]}  {each.reason or 'kept'}  ({builds})"
        yield from _indented(_pairs("differs    ", each.differs))


def _section(title: str, lines: Iterable[str]) -> list[str]:
    body = list(lines)
    return ["", title, *_indented(body)] if body else []


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _pairs(label: str, values: Mapping[str, JsonValue]) -> list[str]:
    """`name value` pairs after a label, as many in a line as fit."""
    if not values:
        return []
    said = [_said(name, value) for name, value in values.items()]
    # a pair is not broken where it fits in a line: blanks in it are held together while lines are filled
    held = "  ".join(each.replace(" ", "\0") for each in said)
    lines = wrap(held, WIDTH - len(label) - 4, break_on_hyphens=False, break_long_words=False)
    texts = [line.replace("\0", " ") for line in lines]
    return [f"{label}{texts[0]}", *(f"{' ' * len(label)}{text}" for text in texts[1:])]


def _said(name: str, value: JsonValue) -> str:
    if value is None:
        return f"{name}=none"
    if isinstance(value, list):
        return f"{name}=[{', '.join(_word(each) for each in value)}]"
    if isinstance(value, dict):
        return f"{name}={{{', '.join(_said(key, each) for key, each in value.items())}}}"
    return f"{name}={_word(value)}" if name else _word(value)


def _word(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None:
        return "none"
    return str(value) if value != "" else '""'
