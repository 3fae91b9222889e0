"""A long video is planned in bounded memory: what is held follows the clips, not the video."""

import subprocess
import sys
from pathlib import Path

import pytest

PLANNING = """
import sys
from pathlib import Path
import pyarrow as pa
from tasks.dance.clips import ClipsConfig, PlanClips
from tasks.dance.crop_track import CropRules
from tasks.dance.dancers import DancerRules
from tasks.schema.films import FILM_SCHEMA
from tasks.video.films import FilmConfig, film_row
from tasks.video.probe import probe
from tests.dance.blocks_film import SeesBlocks
from tests.peak_memory import peak_mib

path = Path(sys.argv[1])
film = probe(path)
row = film_row(film, FilmConfig(name="long", file_name=path.name, digest="0", licence="CC0-1.0"))
config = ClipsConfig(pose_model="blocks", dancers=DancerRules(smallest_height=16), crop=CropRules(smallest_side=32))
seconds = clips = 0
for output in PlanClips(config, path, SeesBlocks()).process(iter([pa.RecordBatch.from_pylist([row], FILM_SCHEMA)])):
    clips += output.kept.num_rows
    seconds = output.facts.get("seconds", seconds)
print(seconds, clips, peak_mib())
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_long_shot_stays_small(tmp_path: Path) -> None:
    """Four minutes in one shot with two people in it: the most that has to be held at once."""
    from tests.dance.blocks_film import BlockShot, blocks_film, swaying

    shot = BlockShot(240, 1, [swaying(30, 10, 14, 40, 10), swaying(90, 20, 12, 36, 5)])
    path = blocks_film(tmp_path / "long.mkv", [shot], width=128, height=72)
    done = subprocess.run(
        [sys.executable, "-c", PLANNING, str(path)], capture_output=True, text=True, check=True, timeout=850
    )
    seconds, clips, mebibytes = (float(each) for each in done.stdout.split())
    assert seconds == 240
    assert clips == 24
    assert mebibytes < 450
