"""What is made from what, one video at a time.

dance -> clips -> cut_clips -> poses -> reference -> music -> audit        each looks up what it needs further back
"""

from dataclasses import dataclass
from pathlib import Path

from tasks.dance.audit import AuditClips
from tasks.dance.clips import PlanClips
from tasks.dance.cut import CutClips
from tasks.dance.music import ClipMusic
from tasks.dance.poses import FindPoses
from tasks.dance.reference import PickReference
from tasks.dance.videos import DanceConfig, DanceVideo
from tasks.m2p.config import MusicToPoseForm
from tasks.machine.places import Machine
from tasks.schema.forms import Form
from tasks.shards.derive import Derivation


class VideoRead(Form):
    """A video that was looked for: what is known of it everywhere, and where it and its sound lie on this machine."""

    video: DanceConfig
    path: str
    sound_path: str = ""


@dataclass(frozen=True)
class VideoChain:
    """The derivations of one video, by the names of their steps."""

    dance: Derivation
    clips: Derivation
    cut_clips: Derivation
    poses: Derivation
    reference: Derivation
    music: Derivation
    audit: Derivation

    def of(self, step: str) -> Derivation:
        """The derivation of a step."""
        found: Derivation = getattr(self, step)
        return found


def chain(read: VideoRead, config: MusicToPoseForm, machine: Machine) -> VideoChain:
    """Everything that is made of one video."""
    path, sound = Path(read.path), Path(read.sound_path) if read.sound_path else None
    dance = Derivation(DanceVideo(read.video, path, sound))
    clips = Derivation(PlanClips.of(config.clips, path, machine.zoo), (dance,))
    cut = Derivation(CutClips(config.cut, path, sound), (clips,), whole=(dance,))
    poses = Derivation(FindPoses.of(config.poses, machine.zoo), (cut,), sides=(clips,))
    reference = Derivation(PickReference.of(config.reference.config(), machine.zoo), (poses,), sides=(cut,))
    music = Derivation(ClipMusic(config.music, path, sound), (reference,), sides=(clips,), whole=(dance,))
    audit = Derivation(AuditClips(config.audit), (music,), sides=(clips, cut, poses, reference), whole=(dance,))
    return VideoChain(dance, clips, cut, poses, reference, music, audit)
