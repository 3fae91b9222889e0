"""A dance video of known truth through the stages of music to pose, and what came back of it."""

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Final

from tasks.controls.film_runs import films_of, looked_at, once_each
from tasks.controls.films import FPS
from tasks.controls.finding import ControlReport, Finding
from tasks.controls.m2p_findings import (
    CLIPS,
    audit_findings,
    clip_findings,
    cut_findings,
    dance_findings,
    music_findings,
    pose_findings,
    reference_findings,
    split_findings,
)
from tasks.controls.m2p_video import NAME, SILENT, DanceFilm
from tasks.controls.passage import Came, Passage
from tasks.dance.plan import PieceRules
from tasks.dance.poses import FindPoses
from tasks.dance.split import SplitClips
from tasks.m2p.build import Build
from tasks.m2p.config import PER_VIDEO, STEPS, MusicToPoseForm
from tasks.m2p.derivations import VideoChain, chain
from tasks.m2p.find import find_video
from tasks.m2p.sources import DanceEntry
from tasks.machine.places import Machine
from tasks.schema.rejections import Reason
from tasks.shards.derive import Derivation

FLOW: Final = "music_to_pose"

USUAL_SCORE: Final = 0.5
"""Of a dancer, as configurations ask for it unless somebody changed it; wooden ones do not reach much more."""


def check_music_to_pose(build: Build, machine: Machine, mark: str) -> ControlReport:
    """Send a dance video of known truth through the stages of a build, as far as it goes, and look at what came back.

    The video and the stages' shards lie in the store, apart from all that is exported. Everything is as in the build
    but the length of clips, so that two short shots give two.

    Args:
        build: whose configuration counts.
        machine: where the store and the models are.
        mark: names the build; the same video is found again under the same mark.
    Raises:
        StoreError: the store cannot be written.
    """
    began = time.monotonic()
    folder = films_of(machine.store, mark)
    # the file's name stands in the rows of all stages, so that none is found under another mark
    file_name = f"{NAME}-{folder.name}.mov"
    config = _short(build.config)
    film = DanceFilm.of_dancers(config.clips.dancers.smallest_height)
    passage = Passage(machine.store)
    silent = film.write(folder / "silent" / file_name, mark, sounding=False)
    _silent(silent, config, passage, machine)
    entry = DanceEntry(name=NAME, video=str(film.write(folder / file_name, mark)), group="control")
    _through(chain(find_video(entry, config, machine), config, machine), film, config, passage)
    findings = tuple(once_each(passage.findings, STEPS))
    return ControlReport(findings=findings, samples=passage.samples, seconds=time.monotonic() - began)


def _short(config: MusicToPoseForm) -> MusicToPoseForm:
    """The same with clips as short as a shot of the video, whose dancer and rate are no reason to leave it out."""
    dancers, video = config.clips.dancers, config.video
    usual = dancers.model_copy(update={"least_score": min(dancers.least_score, USUAL_SCORE)})
    clips = config.clips.model_copy(update={"pieces": PieceRules(shortest_s=1.0, longest_s=10.0), "dancers": usual})
    rules = video.model_copy(update={"min_fps": min(video.min_fps, float(FPS))})
    return config.model_copy(update={"clips": clips, "video": rules})


def _silent(path: Path, config: MusicToPoseForm, passage: Passage, machine: Machine) -> None:
    """The same video without its sound: it must be rejected."""
    read = find_video(DanceEntry(name=SILENT, video=str(path), group="control"), config, machine)
    passage.through(chain(read, config, machine).dance, rejected={SILENT: Reason.SOUND_MISSING}, kept=set())


def _through(steps: VideoChain, film: DanceFilm, config: MusicToPoseForm, passage: Passage) -> None:
    """Send the video through the stages that the build takes, one after the other."""
    both = set(CLIPS)
    known = PER_VIDEO[: PER_VIDEO.index("audit")]
    kept = dict.fromkeys(known, both) | {"dance": {NAME}}
    rejected: dict[str, dict[str, Reason]] = {step: {} for step in known}
    rejected["clips"] = {f"{NAME}/left000": Reason.NO_STEADY_SHOT}
    came: dict[str, Came] = {}
    for step in PER_VIDEO:
        if step not in config.steps:
            return
        found = passage.through(steps.of(step), rejected.get(step), kept.get(step))
        if found is None:
            return
        came[step] = found
        passage.add(*looked_at(step, partial(_findings, step, came, film, steps)))
    if "split" in config.steps and came["audit"].kept:
        whole = (steps.dance, steps.reference, steps.music)
        derivation = Derivation(SplitClips(config.split), (steps.audit,), whole=whole)
        found = passage.through(derivation, rejected={}, kept=set(came["audit"].kept))
        if found is not None:
            passage.add(*looked_at("split", partial(split_findings, found)))


def _findings(step: str, came: dict[str, Came], film: DanceFilm, steps: VideoChain) -> Iterable[Finding]:
    match step:
        case "dance":
            return dance_findings(came["dance"], film)
        case "clips":
            return clip_findings(came["clips"], film)
        case "cut_clips":
            return cut_findings(came["cut_clips"], came["clips"], film)
        case "poses":
            stage = steps.poses.stage
            model = stage.model if isinstance(stage, FindPoses) else None
            return pose_findings(came["poses"], came["clips"], came["cut_clips"], film, model)
        case "reference":
            return reference_findings(came["reference"], came["clips"], film)
        case "music":
            return music_findings(came["music"], film)
        case _:
            return audit_findings(came["audit"], came["poses"])
