"""What makes a shard count: the record that is written last."""

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class Frozen(BaseModel):
    """Base of everything that is serialised: immutable, strict, no unknown fields."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class DataFile(Frozen):
    """A data file beside its record: `digest` is the BLAKE3 of its bytes in hex, `name` holds its first characters."""

    name: str
    digest: str
    size: int
    rows: int


class InputRef(Frozen):
    """One input of a stage: the record that made it and the digest of its bytes."""

    stage: str
    key: str
    digest: str


class ShardRecord(Frozen):
    """The record of one committed stage output. Holds no time, no host and no path outside the store.

    `rows_in` counts the rows of the primary inputs (for a source: the rows it offered). `rows_kept` counts those of
    them that live on, themselves or (fan-out) in a child; `rejected` the others by reason, so that always
    `rows_in == rows_kept + sum(rejected.values())`. `children_rejected` counts rejected children of kept rows. `sides`
    are the side inputs and then the whole ones. `facts` is what the stage measured on its way. `erased`: the data file
    was removed on purpose; what was made of it counts on.
    """

    stage: str
    version: int
    key: str
    inputs: tuple[InputRef, ...]
    sides: tuple[InputRef, ...] = ()
    params: dict[str, JsonValue] = Field(default_factory=dict)
    models: dict[str, str] = Field(default_factory=dict)
    execution: dict[str, str] = Field(default_factory=dict)
    rows_in: int
    rows_kept: int
    rejected: dict[str, int]
    children_rejected: dict[str, int] = Field(default_factory=dict)
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    data: DataFile
    rejects: DataFile | None
    erased: bool = False

    @property
    def ref(self) -> InputRef:
        return InputRef(stage=self.stage, key=self.key, digest=self.data.digest)
