"""Small fixed inputs for the stages `poses` and `reference`: a clip of eight frames with a drawn face."""

from pathlib import Path

import numpy as np

from tasks.body.rtmw import RtmwPose
from tasks.dance.dancer_models import BoxedDancer
from tasks.dance.poses import FindPoses, PosesConfig
from tasks.dance.reference import ReferenceConfig
from tasks.models.zoo import Zoo
from tasks.schema.clips import CLIP_SCHEMA, CUT_SCHEMA, EMBEDDING_WIDTH, POSE_SCHEMA
from tasks.shards.derive import Derivation
from tasks.shards.store import Store
from tests.body.simcc_model import write_simcc_model
from tests.dance.face_clips import PickDrawnReference, a_pose_row
from tests.dance.pose_clips import a_row
from tests.face.tiny_recognisers import card_of, write_onnx
from tests.poses.sample_shards import given

CLIP = Path(__file__).parents[1] / "data" / "clips" / "dancer.mp4"
"""Made once: `a_clip(golden_frames())` of `tests.dance.face_clips`."""
FRAMES = 8


def dance_people_cases(store: Store) -> dict[str, Derivation]:
    """Stage name -> a derivation that ends in that stage."""
    models = store.root / "made_dance_models"
    models.mkdir(parents=True, exist_ok=True)
    row = a_row(CLIP.read_bytes(), np.tile([60.0, 20, 196, 240], (FRAMES, 1)))
    broken = {**row, "sample_id": "v/c001", "clip": {"bytes": b"", "path": "v/c001.mp4"}}
    cut = Derivation(given("golden cut", CUT_SCHEMA, [row, broken]))
    planned = [{**each, "shot": 0, "dancer": 0, "start_s": 0.0, "crop": "tracked"} for each in (row, broken)]
    full = [{**each, "video": "v", "dancer_score": [0.9] * FRAMES} for each in planned]
    clips = Derivation(given("golden clips", CLIP_SCHEMA, full))
    model = BoxedDancer(RtmwPose(write_simcc_model(models), Zoo(models), 2.0, "cpu"))
    poses = Derivation(FindPoses(PosesConfig(pose_model="peaks"), model), (cut,), (clips,))
    seen = [a_pose_row(FRAMES), a_pose_row(FRAMES, "v/c001")]
    posed = Derivation(given("golden poses", POSE_SCHEMA, seen))
    file = write_onnx(models / "tiny512.onnx", width=EMBEDDING_WIDTH)
    tiny = card_of(file, "onnx-recognition", width=EMBEDDING_WIDTH)
    config = ReferenceConfig(recogniser=tiny, candidates=4)
    reference = Derivation(PickDrawnReference(config, Zoo(models), "cpu"), (posed,), (cut,))
    return {"poses": poses, "reference": reference}
