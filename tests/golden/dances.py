"""Small fixed inputs for the stages of dance videos: a block that sways, with clicks, in two shots."""

from pathlib import Path

from tasks.dance.clips import ClipsConfig, PlanClips
from tasks.dance.crop_track import CropRules
from tasks.dance.cut import CutClips, CutConfig
from tasks.dance.dancers import DancerRules
from tasks.dance.encode import Encoding
from tasks.dance.plan import PieceRules
from tasks.dance.videos import DanceVideo
from tasks.shards.derive import Derivation
from tests.dance.blocks_film import BlockShot, SeesBlocks, blocks_film, swaying
from tests.dance.make_dance import click_track, write_wav

FOLDER = Path(__file__).parents[1] / "data" / "dances"
VIDEO = FOLDER / "swaying_block.mp4"
SOUND = FOLDER / "clicks.flac"


def make() -> None:
    """How both files were made, once."""
    block = swaying(30, 12, 20, 60, 12)
    blocks_film(VIDEO, [BlockShot(1.5, 1, [block]), BlockShot(0.75, 2)], width=128, height=96)
    write_wav(SOUND, click_track([0.25, 0.75, 1.25, 1.75], 2.25, 24_000), 24_000)


def dance_cases() -> dict[str, Derivation]:
    """Stage name -> a derivation that ends in that stage."""
    config = ClipsConfig(
        pose_model="blocks",
        dancers=DancerRules(smallest_height=32),
        crop=CropRules(smallest_side=32),
        pieces=PieceRules(shortest_s=1),
    )
    dance = Derivation(DanceVideo.of(VIDEO, "block", sound=SOUND))
    clips = Derivation(PlanClips(config, VIDEO, SeesBlocks()), (dance,))
    cutting = CutClips(CutConfig(size=64, encoding=Encoding(preset="ultrafast")), VIDEO, SOUND)
    return {"dance": dance, "clips": clips, "cut_clips": Derivation(cutting, (clips,), whole=(dance,))}
