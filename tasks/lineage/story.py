"""What is told of a sample. Everything here is JSON: bytes and long arrays stand as words ("JPEG 34,678 bytes")."""

from typing import Literal

from pydantic import Field, JsonValue

from tasks.schema.records import Frozen


class ModelUsed(Frozen):
    """A model whose weights decided rows of a stage; `licence` as its card or the build says, else "unknown"."""

    name: str
    sha256: str
    licence: str
    non_commercial: bool = False


class Origin(Frozen):
    """Where a sample begins: its first ancestor, and what the rows say of place and time in it (`where`)."""

    sample_id: str
    source_uri: str
    licence: str
    where: dict[str, JsonValue] = Field(default_factory=dict)


class Step(Frozen):
    """A row of the sample or of one it was made from, and the stage that made it.

    `values` is the row; `params` are those of the stage, `facts` what it measured that concerns thresholds, both with
    dotted names. `reads` are the stages of its inputs, `looks_up` those it looked things up in. `erased`: the row was
    there and was removed on purpose. `problem` says why the row does not read.
    """

    sample_id: str
    stage: str
    version: int
    key: str
    reads: tuple[str, ...] = ()
    looks_up: tuple[str, ...] = ()
    source_uri: str = ""
    licence: str = ""
    values: dict[str, JsonValue] = Field(default_factory=dict)
    params: dict[str, JsonValue] = Field(default_factory=dict)
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    models: tuple[ModelUsed, ...] = ()
    erased: bool = False
    problem: str = ""


class Drop(Frozen):
    """A rejection and the stage that made it. `same_as`: samples that it names and that the store holds."""

    sample_id: str
    stage: str
    version: int
    key: str
    reason: str
    detail: str
    score: float | None = None
    source_uri: str = ""
    evidence: JsonValue = None
    same_as: tuple[str, ...] = ()
    params: dict[str, JsonValue] = Field(default_factory=dict)
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    models: tuple[ModelUsed, ...] = ()


class Children(Frozen):
    """What a stage holds that was made of the sample: how many rows, and the first of them."""

    stage: str
    count: int
    sample_ids: tuple[str, ...]


class ChildrenDropped(Frozen):
    """Children of the sample that a stage left out: how many, and the first of them."""

    stage: str
    count: int
    first: tuple[Drop, ...]


class ExportedFile(Frozen):
    """A file of an export that holds the sample or a child of it.

    `state`: whole, changed since it was written, missing, or "" where the export keeps no digest of it.
    """

    folder: str
    name: str
    sample_id: str
    state: Literal["", "whole", "changed", "missing"] = ""


class Standing(Frozen):
    """How a sample stands in a build: how far it came, or which stage dropped it. `told`: the story follows it."""

    flow: str
    digest: str
    latest: bool
    outcome: Literal["kept", "dropped"]
    stage: str
    reason: str = ""
    told: bool = False


class Elsewhere(Frozen):
    """The sample in an output that is no part of the build that the story follows.

    `reason` where it was dropped there; `differs`: parameters that are other than in the story's step of that stage.
    """

    stage: str
    version: int
    key: str
    builds: tuple[str, ...]
    reason: str = ""
    differs: dict[str, JsonValue] = Field(default_factory=dict)


class Story(Frozen):
    """Everything that the store knows of a sample.

    `steps` begin at the source. `dropped` is why the sample is missing after the last of them; `repeats` are rejections
    beside which it lives on (the same photo once more, an earlier attempt). `notes` say what could not be read.
    """

    sample_id: str
    origin: Origin
    steps: tuple[Step, ...]
    dropped: Drop | None
    repeats: tuple[Drop, ...]
    children: tuple[Children, ...]
    children_dropped: tuple[ChildrenDropped, ...]
    exports: tuple[ExportedFile, ...]
    builds: tuple[Standing, ...]
    elsewhere: tuple[Elsewhere, ...]
    notes: tuple[str, ...] = ()


class Answer(Frozen):
    """What a query led to: `how` it was understood, the samples it means, and the story if it means just one.

    `more`: samples beyond those that are listed.
    """

    query: str
    how: str
    sample_ids: tuple[str, ...]
    more: int = 0
    story: Story | None = None
    notes: tuple[str, ...] = ()
