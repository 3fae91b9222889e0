"""What people look at: real clips with sound, read back from the MP4 that was made."""

from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pytest

from tasks.body.drawing import PALETTE
from tasks.body.wholebody import OPENPOSE_134
from tasks.dance.clip_frames import ClipError, clip_frames
from tasks.dance.show import BANDS, columns_of, feature_strip, poster, poster_jpeg, side_by_side
from tasks.dance.skeleton import draw_skeleton
from tasks.images.decode import decode_rgb
from tasks.schema.clips import CLIP_FPS
from tasks.schema.errors import ShapeError
from tasks.schema.keypoints import COCO_17, Keypoints
from tests.dance.face_clips import HEAD, a_pose_row, shows
from tests.dance.pose_clips import SIDE, a_clip, a_music_row

FRAMES = 24
RATE = 48_000


def with_sound(clip: bytes) -> bytes:
    """The same with a second of a rising tone."""
    out = BytesIO()
    time = np.arange(RATE) / RATE
    tone = np.tile(0.5 * np.sin(2 * np.pi * (200 + 800 * time) * time), (2, 1)).astype(np.float32)
    with av.open(BytesIO(clip)) as source, av.open(out, "w", format="mp4") as container:
        video = container.add_stream_from_template(source.streams.video[0])
        sound = container.add_stream("aac", rate=RATE, layout="stereo")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                container.mux(packet)
        for at in range(0, RATE, 1024):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(tone[:, at : at + 1024]), "fltp", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return out.getvalue()


@pytest.fixture(scope="module")
def clip() -> bytes:
    return with_sound(a_clip(shows() for _ in range(FRAMES)))


def sound_of(mp4: bytes) -> np.ndarray:
    with av.open(BytesIO(mp4)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


def test_side_by_side_keeps_frames_times_and_the_very_sound(clip):
    beats = [0.25, 0.75]
    made = side_by_side(clip, a_pose_row(FRAMES), a_music_row(FRAMES, beats_s=beats))
    with av.open(BytesIO(made)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == CLIP_FPS
        times = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(times, np.arange(FRAMES) / CLIP_FPS, atol=1e-6)
    np.testing.assert_array_equal(sound_of(made), sound_of(clip))
    pictures = [picture for some in clip_frames(made) for picture in some]
    assert np.abs(pictures[3][:SIDE, :SIDE].astype(int) - shows()).mean() < 8
    light = np.array([picture[16, 2 * SIDE - 16].astype(int).sum() for picture in pictures])
    lit = np.flatnonzero(light > 600)
    assert lit.tolist() == [6, 18]
    between = SIDE + 4 + BANDS[0][1] + 2
    cursor = [int((p[between, :, 0].astype(int) - p[between, :, 2]).argmax()) for p in pictures]
    np.testing.assert_allclose(cursor, (np.arange(FRAMES) + 0.5) / FRAMES * 2 * SIDE, atol=3)


def test_a_poster_shows_the_skeleton_of_its_frame(clip):
    poses, music = a_pose_row(FRAMES), a_music_row(FRAMES, beats_s=[0.25])
    picture = poster(clip, poses, music, frame=3)
    x, y = HEAD
    assert picture[y + 50, SIDE + x].tolist() == list(PALETTE[OPENPOSE_134.index("neck")])
    assert decode_rgb(poster_jpeg(clip, poses, music)).shape == picture.shape
    assert poster(clip, poses, music, frame=1000).shape == picture.shape


def test_lengths_that_differ_and_clips_without_sound_do_no_harm():
    silent = a_clip(shows() for _ in range(4))
    made = side_by_side(silent, a_pose_row(2), a_music_row(3, beats_s=[], tempo_bpm=None))
    assert sum(len(some) for some in clip_frames(made)) == 4
    with pytest.raises(ClipError, match="does not decode"):
        side_by_side(b"no video", a_pose_row(2), a_music_row(2))


def test_the_strip_shows_each_feature_over_time():
    music = a_music_row(4, beats_s=[1 / CLIP_FPS])
    strip = feature_strip(music, 400)
    assert strip.shape == (sum(4 + height for _, height in BANDS), 400, 3)
    assert (strip[:, 150] == 255).all()
    mel = strip[4 + 40 : 4 + 80, :, :].astype(int).sum(axis=2).mean(axis=0)
    assert mel[350] > mel[250] > mel[50]
    bare = feature_strip({**music, "layout": [name.replace("mel", "melody") for name in music["layout"]]}, 400)
    assert (bare[30:80, 300:] == bare[30, 300]).all()
    assert columns_of(["tempo", "tempogram.0", "mel.0", "mel.1"], "tempo") == [0]


def test_all_parts_of_134_joints_are_drawn():
    xy, seen = np.full((1, 134, 2), np.nan, np.float32), np.zeros((1, 134), np.float32)
    places = {
        "left_ankle": (60, 40), "left_heel": (60, 80), "left_hand_root": (20, 20), "left_thumb_1": (40, 20),
        "face_jaw_1": (100, 20),
    }  # fmt: skip
    for name, place in places.items():
        xy[0, OPENPOSE_134.index(name)], seen[0, OPENPOSE_134.index(name)] = place, 0.9
    drawn = draw_skeleton(Keypoints(OPENPOSE_134, xy, seen), 0, 128)
    assert drawn[60, 60].tolist() == [round(0.6 * c) for c in PALETTE[13]]
    red, green, blue = drawn[20, 30]
    assert red > 200 > green == blue == 0
    assert drawn[20, 20].tolist() == [0, 0, 255]
    assert drawn[20, 100].tolist() == [255, 255, 255]
    assert not draw_skeleton(Keypoints(OPENPOSE_134, xy, seen), 0, 128, joint_floor=0.95).any()
    with pytest.raises(ShapeError, match="openpose-134"):
        draw_skeleton(Keypoints.empty(COCO_17), 0, 64)
