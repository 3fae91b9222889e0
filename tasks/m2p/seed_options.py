"""The options of the guide's `prepare_dataset.py`, as parameters of the flow `music_to_pose`."""

import re
from pathlib import Path

from pydantic import ValidationError

from tasks.dance.clips import ClipsConfig
from tasks.dance.cut import CutConfig
from tasks.dance.plan import PieceRules
from tasks.dance.split import SplitConfig
from tasks.m2p.config import ExportRules, MusicToPoseForm
from tasks.m2p.sources import DanceSource
from tasks.schema.clips import CLIP_FPS
from tasks.schema.errors import ConfigError


def form_of_options(
    input_dir: Path, output_dir: Path, *, fps: int, resolution: str, split_ratio: float, sequence_length: int
) -> MusicToPoseForm:
    """The parameters that do what the options say.

    Args:
        input_dir: folder of the videos.
        output_dir: where train/, validation/ and metadata.json go.
        fps: frames a second of the clips.
        resolution: of the clips, as 512x512.
        split_ratio: share of train.
        sequence_length: frames that a sample has at least.
    Raises:
        ConfigError: an option asks for what the flow does not make.
    """
    if fps != CLIP_FPS:
        raise ConfigError(f"--fps {fps}: clips and their features have {CLIP_FPS} frames a second.")
    sides = re.fullmatch(r"(\d+)(?:x(\d+))?", resolution)
    if sides is None or sides[2] not in (None, sides[1]):
        raise ConfigError(f"--resolution {resolution}: clips are square; say it as 512x512.")
    pieces = PieceRules()
    shortest = max(pieces.shortest_s, sequence_length / CLIP_FPS)
    try:
        return MusicToPoseForm(
            sources=(DanceSource(name="video", location=str(input_dir.absolute())),),
            clips=ClipsConfig(pieces=PieceRules(shortest_s=shortest, longest_s=max(pieces.longest_s, shortest))),
            cut=CutConfig(size=int(sides[1])),
            split=SplitConfig(train_share=split_ratio),
            exports=ExportRules(output=str(output_dir.absolute())),
        )
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ConfigError(f"These options do not go together: {said}.") from error
