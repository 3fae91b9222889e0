"""The stage `poses` on a real dance with small YOLO weights, beside the OpenPose render of the same dance."""

from io import BytesIO
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tasks.body.pose_model import open_fast_pose_model
from tasks.body.read_drawing import read_openpose_drawing
from tasks.body.track import Tracker, smoothed_boxes
from tasks.dance.poses import FindPoses, PosesConfig, poses_of_row
from tasks.dance.reference import PickReference, ReferenceConfig
from tasks.images.decode import decode_rgb
from tasks.models.zoo import Zoo
from tasks.schema.keypoints import OPENPOSE_18
from tests.dance.face_clips import beside
from tests.dance.pose_clips import a_row, batch_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

MODEL = "yolov8n-pose-dequantised"
SIDE = 512
STRETCH, STEP = 240, 3
"""Frames at the start of the dance, and which of them make the clip, so that more than a few poses are compared."""
DETECT_EVERY = 4


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        decoded = container.decode(video=0)
        return [f.to_ndarray(format="rgb24") for k, f in zip(range(STRETCH), decoded, strict=False) if k % STEP == 0]


def squared(picture: np.ndarray, side: int, corner: np.ndarray) -> np.ndarray:
    """The square of the video that becomes a frame of the clip; black beyond the video."""
    matrix = np.array([[1.0, 0, -corner[0]], [0, 1.0, -corner[1]]])
    square = cv2.warpAffine(picture, matrix, (side, side))
    return cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def encoded(pictures: list[np.ndarray]) -> bytes:
    stream_of_bytes = BytesIO()
    with av.open(stream_of_bytes, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "18", "preset": "veryfast"})
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return stream_of_bytes.getvalue()


def test_poses_of_a_dance_agree_with_its_openpose_render(real_data: Path) -> None:
    """Target: median distance of at most 0.15 torso."""
    photos = frames_of(real_data / "dance" / "xdyna_1_driving_8fps_noaudio.mp4")
    renders = frames_of(real_data / "dance" / "xdyna_1_openpose_8fps.mp4")
    assert len(photos) == len(renders)
    zoo = Zoo(Path("/nowhere"), real_data / "models")
    tracker = Tracker()
    looked = list(range(0, len(photos), DETECT_EVERY))
    for frame, people in zip(looked, open_fast_pose_model(MODEL, zoo).detect([photos[k] for k in looked]), strict=True):
        tracker.see(frame, people)
    dancer = max(tracker.tracks, key=lambda track: len(track.frames))
    assert len(dancer.frames) >= 0.95 * len(looked)
    boxes = smoothed_boxes(dancer.boxes_at(np.arange(len(photos))).xyxy, 1.0)
    height, width = photos[0].shape[:2]
    side = max(height, width)
    centre = np.array([width / 2, height / 2])
    corner = centre - side / 2
    row = {
        "sample_id": "xdyna/c000",
        "parent_id": "xdyna",
        "source_uri": "xdyna.mp4",
        "licence": "unknown",
        "clip": {"bytes": encoded([squared(photo, side, corner) for photo in photos]), "path": "c000.mp4"},
        "clip_digest": "",
        "frames": len(photos),
        "width": SIDE,
        "height": SIDE,
        "repeated_frames": 0,
        "sound_rate": 48_000,
        "sound_rms_db": 0.0,
        "sound_padded_s": 0.0,
        "crop_centre_xy": np.tile(centre, len(photos)).tolist(),
        "crop_side": [float(side)] * len(photos),
        "dancer_xyxy": boxes.ravel().tolist(),
    }
    stage = FindPoses.of(PosesConfig(pose_model=MODEL), zoo)
    (output,) = stage.process(iter([batch_of([row])]))
    assert not output.rejected
    poses = poses_of_row(output.kept.to_pylist()[0])
    found = poses.keypoints.present[:, :18].any(axis=1)
    seen = (poses.keypoints.xy[:, :18] + 0.5) * side / SIDE - 0.5 + corner
    hips = [OPENPOSE_18.index("right_hip"), OPENPOSE_18.index("left_hip")]
    apart = []
    for k, render in enumerate(renders):
        drawn = read_openpose_drawing(render)
        if not found[k] or not len(drawn):
            continue
        scaled = (drawn.xy[0] + 0.5) * [width / render.shape[1], height / render.shape[0]] - 0.5
        torso = np.linalg.norm(seen[k, 1] - seen[k, hips].mean(axis=0))
        apart.append(np.linalg.norm(scaled - seen[k], axis=1)[poses.keypoints.confidence[k, :18] > 0.5] / torso)
    distances = np.concatenate(apart)
    median = float(np.nanmedian(distances))
    print(
        f"{found.mean():.1%} of {len(photos)} frames; {np.isfinite(distances).sum()} joints; median {median:.3f} torso"
    )
    assert found.mean() >= 0.95
    assert len(apart) >= 0.9 * len(photos)
    assert median <= 0.15


def test_the_reference_of_a_dance_shows_its_dancers_face(real_data: Path) -> None:
    """The small recognition model is 128 wide: no embedding, and the row says why."""
    photos = frames_of(real_data / "dance" / "xdyna_1_driving_8fps_noaudio.mp4")[::4]
    zoo = Zoo(Path("/nowhere"), real_data / "models")
    height, width = photos[0].shape[:2]
    corner, side = np.array([(width - height) / 2, 0]), max(height, width)
    clip = encoded([squared(photo, side, corner) for photo in photos])
    row = a_row(clip, np.tile([150.0, 20, 360, 500], (len(photos), 1)), "xdyna/c000")
    found = FindPoses.of(PosesConfig(pose_model=MODEL), zoo)
    whole = {"width": SIDE, "height": SIDE, "crop_centre_xy": [SIDE / 2] * 2 * len(photos)}
    boxes = {"crop_side": [float(SIDE)] * len(photos), "dancer_xyxy": [150.0, 20, 360, 500] * len(photos)}
    (seen,) = found.process(iter([batch_of([{**row, **whole, **boxes}])]))
    config = ReferenceConfig(detector="retinaface-mobilenet0.25", recogniser="mobilefacenet-128")
    posed = seen.kept.to_pylist()[0]
    (output,) = PickReference.of(config, zoo).process(iter([beside([(posed, clip)])]))
    (reference,) = output.kept.to_pylist()
    left, top, right, bottom = reference["face_xyxy"]
    nose = np.array(posed["keypoints_xy"], float).reshape(-1, 134, 2)[reference["reference_frame"], 0]
    assert left < nose[0] < right
    assert top < nose[1] < bottom
    assert reference["face_score"] > 0.9
    assert reference["frontality"] > 0.7
    assert reference["sharpness"] > 0.3
    assert decode_rgb(reference["reference"]["bytes"]).shape == (SIDE, SIDE, 3)
    assert reference["embedding"] is None
    assert "embeddings of 128 numbers, 512 are wanted" in reference["embedding_missing"]
