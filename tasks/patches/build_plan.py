"""What a run of `video_patches` set out to make, as a small file in its tree.

<tree>/.mannequin/build.json     `BuildPlan`, written when the plan is known; nothing is added while the build runs

Which pieces are done, and what became of their windows, is what the store says (`tasks.patches.watch`).
"""

import os
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import cast

from pydantic import Field, ValidationError

from tasks.schema.errors import SourceError
from tasks.schema.records import Frozen, ShardRecord
from tasks.shards.files import LocalFiles, disk_errors_explained, temporary

PLAN_PATH = Path(".mannequin") / "build.json"

DEFAULT_TREE = Path("exports") / "video_patches"
"""In the store: where patches go unless the configuration says otherwise."""

Counts = dict[str, dict[str, int]]
"""Category -> format -> number of windows."""


class PiecePlan(Frozen):
    """A piece of a film: the stage key of its `patches` shard, and the windows planned in it."""

    key: str
    planned: Counts


class FilmPlan(Frozen):
    """A film of a build.

    `asked` is what the configuration asks for, by category; `wanted` what the film is long enough for, its formats by
    distribution; `redistributed` which of those were planned as which other format, as the film has no room for the
    wanted one (category -> wanted -> planned -> windows); `left_out` those that were not planned at all, by reason.
    `reason` and `detail` say why a film has no windows, where it was rejected.
    """

    film: str
    asked: dict[str, int]
    wanted: Counts = Field(default_factory=dict)
    redistributed: dict[str, Counts] = Field(default_factory=dict)
    left_out: dict[str, int] = Field(default_factory=dict)
    pieces: tuple[PiecePlan, ...] = ()
    reason: str = ""
    detail: str = ""


class BuildPlan(Frozen):
    """What a run set out to make. `created_at` is the start of the run that wrote it, with its time zone.

    `config` is the digest of the configuration, `store` the root of the store, `host` and `pid` the process that makes
    it, `shares` the wanted share of each format in its category, each category adding up to 1.
    """

    config: str
    created_at: datetime
    store: str
    shares: dict[str, dict[str, float]]
    films: tuple[FilmPlan, ...]
    host: str = Field(default_factory=socket.gethostname)
    pid: int = Field(default_factory=os.getpid)


def film_plan(
    film: str, asked: Mapping[str, int], windows: Sequence[ShardRecord] = (), keys: Sequence[str] = ()
) -> FilmPlan:
    """The plan of a film that was looked at and not rejected then; planning may find that none of it can be cut.

    Args:
        film: its short name.
        asked: windows by category that the configuration asks for.
        windows: the records of its `windows` shards, one a piece.
        keys: the stage key of the `patches` shard of each.
    """
    planned = [cast("Counts", record.facts["planned"]) for record in windows]
    moved = [cast("dict[str, Counts]", record.facts["redistributed"]) for record in windows]
    left_out: Counter[str] = Counter()
    for record in windows:
        left_out.update(record.children_rejected)
    categories = dict.fromkeys(category for each in moved for category in each)
    rejected = [reason for record in windows for reason in record.rejected]
    return FilmPlan(
        film=film,
        asked=dict(asked),
        wanted=added([cast("Counts", record.facts["wanted"]) for record in windows]),
        redistributed={name: added([each.get(name, {}) for each in moved]) for name in categories},
        left_out=dict(left_out),
        pieces=tuple(PiecePlan(key=key, planned=each) for key, each in zip(keys, planned, strict=True)),
        reason=rejected[0] if rejected and not any(total(each) for each in planned) else "",
    )


def write_plan(tree: Path, plan: BuildPlan) -> Path:
    """Put down what a run set out to make; whoever reads meanwhile sees the old file or the new one.

    Raises:
        StoreError: the tree cannot be written.
    """
    path, files = tree / PLAN_PATH, LocalFiles()
    with disk_errors_explained(tree):
        path.parent.mkdir(parents=True, exist_ok=True)
        for left_over in path.parent.glob("*.part"):
            files.remove(left_over)
        written = temporary(path.parent)
        try:
            with files.create(written) as stream:
                stream.write(plan.model_dump_json().encode())
                files.sync(stream)
            files.replace(written, path)
        finally:
            files.remove(written)
    return path


def read_plan(tree: Path) -> BuildPlan:
    """The plan of the build that was last started in a tree.

    Raises:
        SourceError: there is none, or another version of the code wrote it.
    """
    path = tree / PLAN_PATH
    try:
        return BuildPlan.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceError(
            f"There is no build in {tree}: a run of video_patches writes {PLAN_PATH} there as soon as it has looked at "
            "the films. Name the folder that your configuration writes to (`output`, the seed's `output_base_dir`)."
        ) from error
    except OSError as error:
        raise SourceError(f"The plan {path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise SourceError(f"The plan {path} does not read: start the run again, it writes a new one.") from error


def added(counts: Sequence[Mapping[str, Mapping[str, int]]]) -> Counts:
    """Counts added up, categories and formats in the order in which they first occur."""
    sums: dict[str, Counter[str]] = {}
    for each in counts:
        for category, formats in each.items():
            sums.setdefault(category, Counter()).update(formats)
    return {category: dict(formats) for category, formats in sums.items()}


def flat(counts: Mapping[str, Mapping[str, int]]) -> dict[tuple[str, str], int]:
    """Counts by (category, format)."""
    return {(category, name): n for category, formats in counts.items() for name, n in formats.items()}


def total(counts: Mapping[str, Mapping[str, int]]) -> int:
    """All windows of some counts."""
    return sum(n for formats in counts.values() for n in formats.values())
