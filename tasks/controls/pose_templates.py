"""Controls of the pose templates: rendered people through the stages that the build's own photos go through."""

from collections.abc import Mapping
from functools import cached_property
from time import perf_counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.body.keypoints import FindKeypoints
from tasks.controls.finding import ControlReport
from tasks.controls.inspected import REJECTED, coloured, inspect_findings, unusable
from tasks.controls.passage import ALL, Came, Passage, Row, stage_as
from tasks.controls.pictures import Photo, person, photo, slope
from tasks.controls.planted import planted
from tasks.controls.pose_described import described_findings, preview_findings, select_findings
from tasks.controls.pose_found import drawing_findings, model_findings
from tasks.images.sheet import encode_png
from tasks.ingest.mannequins import Mannequin
from tasks.machine.places import Machine
from tasks.poses.build import Build
from tasks.poses.derivations import PartChain, SourceRead, part_chain, selection, templates
from tasks.poses.select import Select
from tasks.schema.sources import SourceKind
from tasks.schema.templates import PHOTO_SCHEMA
from tasks.shards.derive import Derivation
from tasks.shards.stage import Stage

REVISION: Final = 1

DRAWN: Final = (19, 21, 33, 10)
"""Rendered people that come with a drawing: one person each, most joints in sight."""

SEEN: Final = (81, 107, 121, 11)
"""Rendered people that a model looks for: one person each, whom small pose models see well."""

LEAST_SIDE: Final = 320

_SAID: Final = {"a woman": "female", "a man": "male"}


class Planted:
    """The photos of the control, and what is true of them."""

    def __init__(self, min_side: int) -> None:
        self.min_side, self.side = min_side, max(LEAST_SIDE, min_side * 3 // 2)

    @cached_property
    def drawn(self) -> dict[str, Mannequin]:
        """Name -> the person whose drawing lies beside the photo."""
        return {f"control/drawn-{index}": person(index, self.side) for index in DRAWN}

    @cached_property
    def seen(self) -> dict[str, Mannequin]:
        """Name -> the person whom a model has to find."""
        return {f"control/seen-{index}": person(index, self.side) for index in SEEN}

    @cached_property
    def photos(self) -> list[Photo]:
        """All of them, in the order of the rows."""
        with_drawings = [photo(name, self._wider(each.photo), "JPEG") for name, each in self.drawn.items()]
        first = with_drawings[0]
        upright = [photo(name, each.photo) for name, each in self.seen.items()]
        return [
            *with_drawings,
            Photo("control/again", first.upright, first.data, first.format),
            photo("control/nearly", first.upright, "JPEG", quality=80),
            *upright,
            *(photo(f"{each.name}-turned", each.upright, "PNG", 6) for each in upright[:2]),
            *coloured(self.side),
            photo("control/nobody", slope(self.side, self.side)),
            *unusable(self.side, self.min_side),
        ]

    def _wider(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A third more on the right, as at the edge: joints stay where they are, and no side is the other."""
        return np.pad(picture, ((0, 0), (0, self.side // 3), (0, 0)), "edge")

    @cached_property
    def captions(self) -> dict[str, str]:
        """What is said of each photo; every caption is another."""
        who = [*_SAID]
        return {each.name: f"{who[n % 2]} in picture {n}" for n, each in enumerate(self.photos)}

    @property
    def genders(self) -> dict[str, str]:
        """What the captions say."""
        return {
            name: next(sex for word, sex in _SAID.items() if text.startswith(word))
            for name, text in self.captions.items()
        }

    def rows(self) -> list[Row]:
        """Rows of `PHOTO_SCHEMA`."""
        again = next(iter(self.drawn.values()))
        drawings = {**self.drawn, "control/again": again, "control/nearly": again}
        return [
            {
                "sample_id": each.name,
                "source": "controls",
                "category": "lifestyle",
                "image": {"bytes": each.data, "path": each.name},
                "conditioning": self._drawing(drawings.get(each.name)),
                "caption": self.captions[each.name],
            }
            for each in self.photos
        ]

    def _drawing(self, mannequin: Mannequin | None) -> Mapping[str, Any] | None:
        if mannequin is None:
            return None
        return {"bytes": encode_png(self._wider(mannequin.drawing)), "path": "drawing.png"}


def check_pose_templates(build: Build, machine: Machine, mark: str) -> ControlReport:
    """Send rendered people, colours and broken files through the stages of a build, and compare what comes back.

    Args:
        build: whose parameters and models hold; of several sources the first one of photos, else the first.
        machine: its store receives the shards of the controls, which no build names.
        mark: names the build: another mark sends all controls through anew.
    Raises:
        StoreError: the store cannot be written.
    """
    began = perf_counter()
    real = [read for read in build.read if read.source.kind is not SourceKind.MANNEQUINS]
    read = (real or list(build.read))[0]
    stages = _Stages(build, read, machine)
    known = Planted(build.config.photos.min_side_px)
    passage = Passage(machine.store)
    _send(stages, known, passage, mark)
    return ControlReport(findings=tuple(passage.findings), samples=passage.samples, seconds=perf_counter() - began)


class _Stages:
    """The stages of the build, as its own derivations hold them."""

    def __init__(self, build: Build, read: SourceRead, machine: Machine) -> None:
        part = read.listing.parts[0]
        self.chain: PartChain = part_chain(read, part, build.config, machine)
        none = SourceRead.upto(read.source, read.listing, 0)
        self.select = stage_as(selection(none, build.config, machine), Select)
        self.combine: Stage = templates((), build.config, machine).stage


def _send(stages: _Stages, known: Planted, passage: Passage, mark: str) -> None:
    photos = planted("pose_templates", REVISION, mark, PHOTO_SCHEMA, known.rows, side=known.side, least=known.min_side)
    passage.through(photos, ALL, {each.name for each in known.photos})
    inspected = Derivation(stages.chain.inspected.stage, (photos,))
    came = passage.through(inspected, REJECTED, {each.name for each in known.photos} - REJECTED.keys())
    if came:
        passage.add(*inspect_findings(came, known.photos))
    keypoints = Derivation(stages.chain.keypoints.stage, (inspected,), (photos,))
    found = passage.through(keypoints)
    if found:
        stage = stage_as(keypoints, FindKeypoints)
        passage.add(*drawing_findings(found, known.drawn, stage))
        passage.add(*model_findings(found, known.seen, stage))
    described = Derivation(stages.chain.described.stage, (keypoints,), (inspected, photos))
    told = passage.through(described, ALL, _ids(found))
    if told and came and found:
        passage.add(*described_findings(told, came, found, known.captions, known.genders))
    preview = Derivation(stages.chain.preview.stage, (described,), (photos,))
    shown = passage.through(preview, ALL, _ids(told))
    if shown and found:
        uprights = {each.name: each.upright for each in known.photos}
        passage.add(*preview_findings(shown, found, uprights))
    select = Derivation(stages.select, (described,))
    chosen = passage.through(select)
    if chosen and told:
        passage.add(*select_findings(chosen, told, stages.select))
    twice = Derivation(stages.combine, (select, select))
    passage.through(twice, None, _ids(chosen))


def _ids(came: Came | None) -> set[str] | None:
    return {*came.kept} if came else None
