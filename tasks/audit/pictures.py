"""What is shown of the samples of each flow: a picture on which the questions can be answered, and what is told."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc
import pyarrow.dataset as ds

from tasks.audit.sheet import Shown
from tasks.images.decode import decode_rgb
from tasks.images.sheet import encode_jpeg, thumbnail
from tasks.lineage.remembered import recall_build
from tasks.machine.places import Machine
from tasks.reports.build_facts import BuildFacts
from tasks.schema.errors import MannequinError, SourceError

Row = Mapping[str, Any]
_AT_ONCE: Final = 16
"""Samples whose pictures are in memory together."""
_FACE_PX: Final = 240


class NothingAskedError(MannequinError):
    """There are no questions for the samples of a flow."""


def shown_samples(facts: BuildFacts, sample_ids: Sequence[str], machine: Machine) -> Iterator[Shown]:
    """Samples of a build as sheets show them, in the order of the ids; one whose picture is not there is left out.

    Raises:
        NothingAskedError: there are no questions for the flow.
        SourceError: the pictures are on another machine.
    """
    show = _SHOW.get(facts.manifest.flow)
    if show is None:
        raise NothingAskedError(
            f"Nothing is asked here of samples of {facts.manifest.flow}: there are {', '.join(_SHOW)}. runway_street "
            "writes a sheet of its own with every run, and `mannequin verdicts --of looks` reads it."
        )
    for start in range(0, len(sample_ids), _AT_ONCE):
        wanted = sample_ids[start : start + _AT_ONCE]
        found = show(facts, wanted, machine)
        yield from (found[name] for name in wanted if name in found)


def _rows(facts: BuildFacts, stage: str, ids: Collection[str], columns: Sequence[str]) -> dict[str, Row]:
    """Rows of a stage by their ids."""
    paths = [str(path) for path in facts.paths(stage)]
    if not paths:
        return {}
    table = ds.dataset(paths, format="parquet").to_table(
        columns=["sample_id", *columns], filter=pc.field("sample_id").isin(sorted(ids))
    )
    return {row["sample_id"]: row for row in table.to_pylist()}


def _told(row: Row, columns: Sequence[str]) -> dict[str, str]:
    return {name: ", ".join(value) if isinstance(value := row[name], list) else str(value) for name in columns}


def _templates(facts: BuildFacts, ids: Sequence[str], machine: Machine) -> dict[str, Shown]:
    """The photo under its joints."""
    del machine
    told = ("category", "subcategory", "pose_class", "tags", "difficulty")
    rows = _rows(facts, facts.final_stage, ids, told)
    pictures = _rows(facts, "preview", ids, ("overlay",))
    return {
        name: Shown(name, _told(row, told), pictures[name]["overlay"]["bytes"])
        for name, row in rows.items()
        if name in pictures
    }


def _faces(facts: BuildFacts, ids: Sequence[str], machine: Machine) -> dict[str, Shown]:
    """The face, and beside it the most typical other face of the same identity."""
    del machine
    told = ("identity", "idx", "label")
    rows = _rows(facts, facts.final_stage, ids, told)
    others = _typical_others(facts, rows)
    faces = _rows(facts, "faces", {*rows, *others.values()}, ("aligned",))
    return {
        name: Shown(name, _told(row, told), _pair(faces[name], faces.get(others.get(name, ""))))
        for name, row in rows.items()
        if name in faces
    }


def _typical_others(facts: BuildFacts, rows: Mapping[str, Row]) -> dict[str, str]:
    """Sample -> the face most like its identity that is not the sample itself."""
    wanted = sorted({row["identity"] for row in rows.values()})
    paths = [str(path) for path in facts.paths(facts.final_stage)]
    table = ds.dataset(paths, format="parquet").to_table(
        columns=["sample_id", "identity", "similarity"], filter=pc.field("identity").isin(wanted)
    )
    table = table.sort_by([("similarity", "descending"), ("sample_id", "ascending")])
    first: dict[str, list[str]] = {}
    for name, identity in zip(table["sample_id"].to_pylist(), table["identity"].to_pylist(), strict=True):
        first.setdefault(identity, []).append(name)
    found = {name: next((each for each in first[row["identity"]] if each != name), "") for name, row in rows.items()}
    return {name: other for name, other in found.items() if other}


def _pair(face: Row, other: Row | None) -> bytes:
    pictures = [thumbnail(decode_rgb(each["aligned"]["bytes"]), _FACE_PX) for each in (face, other) if each is not None]
    height = max(picture.shape[0] for picture in pictures)
    padded = [np.pad(each, ((0, height - each.shape[0]), (4, 4), (0, 0)), constant_values=255) for each in pictures]
    return encode_jpeg(np.ascontiguousarray(np.concatenate(padded, axis=1)), 95)


def _patches(facts: BuildFacts, ids: Sequence[str], machine: Machine) -> dict[str, Shown]:
    """The ground truth."""
    from tasks.patches.build import Build, tree_of

    told = ("film", "category", "format")
    tree = tree_of(recall_build(facts.store, facts.manifest, Build), machine)
    rows = _rows(facts, facts.final_stage, ids, (*told, "gt_path"))
    if not tree.is_dir():
        raise SourceError(f"The patches are in {tree}, which is not on this machine: ask where it is.")
    there = {name: path for name, row in rows.items() if (path := tree / row["gt_path"]).is_file()}
    return {name: Shown(name, _told(rows[name], told), path.read_bytes()) for name, path in there.items()}


def _dances(facts: BuildFacts, ids: Sequence[str], machine: Machine) -> dict[str, Shown]:
    """A frame of the clip beside its skeleton, over what its music is like."""
    from tasks.dance.show import poster_jpeg

    del machine
    rows = _rows(facts, facts.final_stage, ids, ("video", "split"))
    clips = _rows(facts, "cut_clips", rows, ("clip",))
    poses = _rows(facts, "poses", rows, [name for name in facts.schema("poses").names if name != "sample_id"])
    music = _rows(facts, "music", rows, [name for name in facts.schema("music").names if name != "sample_id"])
    whole = rows.keys() & clips.keys() & poses.keys() & music.keys()
    return {
        name: Shown(
            name,
            _told(rows[name], ("video", "split")),
            poster_jpeg(clips[name]["clip"]["bytes"], poses[name], music[name]),
        )
        for name in sorted(whole)
    }


_SHOW: Final[Mapping[str, Callable[[BuildFacts, Sequence[str], Machine], dict[str, Shown]]]] = {
    "pose_templates": _templates,
    "webbody": _faces,
    "video_patches": _patches,
    "music_to_pose": _dances,
}
