"""Clips of videos: which picture each frame shows, where its square lies, and what happens when things are missing."""

from dataclasses import replace
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pytest

from tasks.dance.crop import SquareCrop
from tasks.dance.cut import CutClips, CutConfig
from tasks.dance.film_pass import film_frames
from tasks.schema.clips import CUT_SCHEMA
from tasks.schema.errors import SourceError
from tasks.schema.films import Film, Transfer
from tasks.schema.rejections import Reason
from tests.dance.cut_films import cut, dance_shard, lumas, numbers
from tests.dance.make_dance import click_track, clip_row, even_times, flash_film, uneven_times, write_wav

SIZE = (64, 64)


FILM = Film(
    path="film.mp4", digest="d", size_bytes=1, codec="h264", width=80, height=60, coded_width=80, coded_height=60,
    rotation=0, content=(0, 0, 80, 60), fps=Fraction(24), time_base=Fraction(1, 24), start_pts=0, duration_s=1.0,
    bit_depth=8, transfer=Transfer.SDR, primaries="bt709", matrix="bt709", full_range=False, interlaced=False,
    vfr=False,
)  # fmt: skip


def film(**other) -> Film:
    return replace(FILM, **other)


def ramp(width: int, height: int) -> av.VideoFrame:
    """Luma grows by 2 a column and 1 a row; chroma alike, so that places can be read from values."""
    frame = av.VideoFrame(width, height, "yuv420p")
    for n, plane in enumerate(frame.planes):
        scale = 2 if n else 1
        y, x = np.mgrid[: plane.height, : plane.width]
        # what a sample of chroma stands for: the left of two columns, the middle of two rows
        column = x * scale + 0.5
        row = y * scale + (1.0 if n else 0.5)
        view = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        view[:, : plane.width] = np.round(20 + 2 * column + row)
    return frame


def planes(frame: av.VideoFrame) -> list[np.ndarray]:
    return [
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width].astype(float)
        for plane in frame.planes
    ]


@pytest.mark.parametrize("side", [16.0, 23.7, 40.0, 57.3])
def test_a_square_lies_between_pixels_where_it_should(side):
    crop = SquareCrop(film(), 16)
    centre = (41.3, 30.6)
    step = side / 16
    luma, *chroma = planes(crop.cut(ramp(80, 60), centre, side))
    left, top = centre[0] - side / 2, centre[1] - side / 2
    y, x = np.mgrid[:16, :16]
    expected = 20 + 2 * (left + (x + 0.5) * step) + top + (y + 0.5) * step
    inner = slice(3, -3)
    assert np.abs(luma - expected)[inner, inner].max() < 1.1
    assert abs((luma - expected.round())[inner, inner].mean()) < 0.1

    y, x = np.mgrid[:8, :8]
    expected = 20 + 2 * (left + (2 * x + 0.5) * step) + top + (2 * y + 1.0) * step
    for plane in chroma:
        assert abs((plane - expected.round())[2:-2, 2:-2].mean()) < 0.15


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_turned_films_are_upright(rotation):
    """What a turned film shows is what the same film shows that was turned before."""
    frame = ramp(80, 60)
    width, height = (60, 80) if rotation % 180 else (80, 60)
    turned = film(width=width, height=height, rotation=rotation)
    got = planes(SquareCrop(turned, 16).cut(frame, (width / 2 + 0.4, height / 2 - 1.2), 40.0))
    quarter = rotation // 90
    x, y = np.meshgrid(*[(np.arange(16) + 0.5) * 2.5] * 2)
    u, v = width / 2 + 0.4 - 20 + x, height / 2 - 1.2 - 20 + y
    coded = {1: (v, 60 - u), 2: (80 - u, 60 - v), 3: (80 - v, u)}[quarter]
    assert np.abs(got[0] - (20 + 2 * coded[0] + coded[1]))[2:-2, 2:-2].max() < 1.1
    x, y = np.meshgrid((2 * np.arange(8) + 0.5) * 2.5, (2 * np.arange(8) + 1.0) * 2.5)
    u, v = width / 2 + 0.4 - 20 + x, height / 2 - 1.2 - 20 + y
    coded = {1: (v, 60 - u), 2: (80 - u, 60 - v), 3: (80 - v, u)}[quarter]
    for plane in got[1:]:
        assert np.abs(plane - (20 + 2 * coded[0] + coded[1]))[1:-1, 1:-1].max() < 1.1


def test_beyond_the_film_it_is_black_and_wide_pixels_become_square():
    got = planes(SquareCrop(film(), 16).cut(ramp(80, 60), (40.0, 30.0), 160.0))
    assert np.all(got[0][:4] == 16)
    assert np.all(got[0][:, :3] == 16)
    assert np.all(got[1][:2] == 128)
    assert got[0][7, 7] > 60

    narrow = film(width=40, height=60)  # two coded columns are one of the upright film
    got = planes(SquareCrop(narrow, 16).cut(ramp(80, 60), (20.0, 30.0), 32.0))
    y, x = np.mgrid[:16, :16]
    assert np.abs(got[0] - (20 + 4 * (4 + (x + 0.5) * 2) + 14 + (y + 0.5) * 2))[2:-2, 2:-2].max() < 1.1


def test_fine_detail_does_not_alias():
    frame = ramp(80, 60)
    view = np.frombuffer(frame.planes[0], np.uint8).reshape(-1, frame.planes[0].line_size)
    view[:, :80] = np.where(np.arange(80) % 2, 235, 16)
    luma = planes(SquareCrop(film(), 16).cut(frame, (40.0, 30.0), 56.0))[0]
    assert np.abs(luma - 125.5).max() < 4


def test_full_range_and_other_formats_come_out_limited():
    whole = film(full_range=True)
    frame = av.VideoFrame.from_ndarray(np.full((60, 80, 3), 255, np.uint8), format="rgb24")
    for name in ("yuvj420p", "yuv444p", "yuv420p10le", "nv12"):
        crop = SquareCrop(whole if name == "yuvj420p" else film(), 16)
        white = crop.cut(crop.prepared(frame.reformat(format=name)), (40.0, 30.0), 40.0)
        assert abs(planes(white)[0].mean() - 235) < 1.5, name


def test_rgb_gets_the_matrix_that_the_clip_is_tagged_with():
    red = av.VideoFrame.from_ndarray(np.tile(np.array([255, 0, 0], np.uint8), (60, 80, 1)), format="rgb24")
    for width, matrix, luma in ((80, 6, 81), (1280, 1, 63)):
        crop = SquareCrop(film(matrix="gbr", full_range=True, coded_width=width), 16)
        cut_out = crop.cut(crop.prepared(red), (40.0, 30.0), 40.0)
        assert crop.colours.matrix == matrix
        assert abs(planes(cut_out)[0].mean() - luma) < 1.5


@pytest.mark.parametrize(
    "times",
    [
        pytest.param(even_times(Fraction(24000, 1001), 4), id="23.976"),
        pytest.param(even_times(24, 4), id="24", marks=pytest.mark.slow),
        pytest.param(even_times(25, 4), id="25", marks=pytest.mark.slow),
        pytest.param(even_times(60, 4), id="60", marks=pytest.mark.slow),
        pytest.param(even_times(8, 4), id="8", marks=pytest.mark.slow),
        pytest.param(uneven_times(4), id="vfr", marks=pytest.mark.slow),
    ],
)
def test_every_frame_shows_the_last_picture_that_began(times, tmp_path):
    made = flash_film(tmp_path / "film.mkv", times, size=SIZE, sound="pcm_s16le")
    rows = [clip_row(0, 0.0, 30, SIZE), clip_row(1, 26 / 24, 40, SIZE), clip_row(2, 2.0, 24, SIZE)]
    cuts = cut(tmp_path, made.path, rows)

    assert [row["sample_id"] for row in cuts.kept] == [row["sample_id"] for row in rows]
    for row, clip in zip(rows, cuts.kept, strict=True):
        expected = [made.shown(row["start_s"] + n / 24) for n in range(row["frames"])]
        assert numbers(clip["clip"]["bytes"]) == expected
        assert clip["repeated_frames"] == len(expected) - len(set(expected))
    assert cuts.facts["decoded"] <= len(times)
    assert cuts.facts["seconds"] == pytest.approx(94 / 24)


@pytest.mark.slow
def test_far_clips_are_reached_by_seeking_and_show_the_same(tmp_path):
    made = flash_film(tmp_path / "film.mov", even_times(6, 36), size=SIZE, sound="pcm_s16le", sound_rate=8000)
    rows = [clip_row(0, 0.5, 24, SIZE), clip_row(1, 30.25, 48, SIZE), clip_row(2, 30.25, 48, SIZE, dancer=1)]
    cuts = cut(tmp_path, made.path, rows)

    assert [numbers(clip["clip"]["bytes"]) for clip in cuts.kept] == [
        [made.shown(row["start_s"] + n / 24) for n in range(row["frames"])] for row in rows
    ]
    assert cuts.kept[1]["clip_digest"] == cuts.kept[2]["clip_digest"]
    assert cuts.facts["decoded"] < 100


@pytest.mark.slow
def test_the_track_moves_the_square(tmp_path):
    def dot(n: int, _: bool) -> np.ndarray:
        picture = np.zeros((96, 128, 3), np.uint8)
        picture[40:48, 26 + 2 * n : 34 + 2 * n] = 255
        return picture

    made = flash_film(tmp_path / "film.mp4", even_times(24, 2), size=(128, 96), picture=dot)
    centres = [value for n in range(30) for value in (30.0 + 2 * n, 44.0)]
    row = clip_row(0, 0.0, 30, (128, 96), crop_centre_xy=centres, crop_side=[32.0 + n / 2 for n in range(30)])
    (clip,) = cut(tmp_path, made.path, [row]).kept
    y, x = np.mgrid[:64, :64]
    for n, luma in enumerate(lumas(clip["clip"]["bytes"])):
        bright = luma > 125
        assert (abs(x[bright].mean() - 31.5), abs(y[bright].mean() - 31.5)) < (1.0, 1.0)
        assert bright.sum() == pytest.approx((8 * 64 / (32 + n / 2)) ** 2, rel=0.25)


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes_whatever_the_threads(tmp_path):
    made = flash_film(tmp_path / "film.mp4", even_times(25, 3), size=SIZE, channels=2)
    rows = [clip_row(0, 0.5, 24, SIZE), clip_row(1, 1.0, 24, SIZE)]
    first = cut(tmp_path, made.path, rows)
    second = cut(tmp_path, made.path, rows[1:], batch_rows=1)

    assert first.kept[1] == second.kept[0]
    with av.open(BytesIO(first.kept[0]["clip"]["bytes"])) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt, video.average_rate) == ("h264", "yuv420p", 24)
        assert (audio.codec_context.name, audio.rate, audio.layout.name) == ("aac", 48_000, "stereo")
        assert (video.start_time, audio.start_time, video.frames) == (0, 0, 24)
        assert float(audio.duration * audio.time_base) == pytest.approx(1.0, abs=1e-4)


def test_clips_without_pictures_or_sound_have_reasons(tmp_path):
    made = flash_film(tmp_path / "film.mp4", even_times(24, 4), size=SIZE, sound=None)
    song = write_wav(tmp_path / "song.wav", click_track([0.5, 1.0], 1.9))
    rows = [
        clip_row(0, 0.0, 24, SIZE), clip_row(1, 1.25, 24, SIZE), clip_row(2, 1.5, 24, SIZE), clip_row(3, 2.5, 24, SIZE),
    ]  # fmt: skip
    cuts = cut(tmp_path, made.path, rows, sound=song, short_sound="clips")

    assert [row["sample_id"] for row in cuts.kept] == ["film/c000", "film/c001"]
    assert cuts.kept[1]["sound_padded_s"] == pytest.approx(0.35, abs=1e-4)
    assert [(why.sample_id, why.reason) for why in cuts.rejected] == [
        ("film/c002", Reason.SOUND_TOO_SHORT),
        ("film/c003", Reason.SOUND_MISSING),
    ]


@pytest.mark.slow
def test_a_clip_beyond_the_video_is_rejected_alone(tmp_path):
    made = flash_film(tmp_path / "film.mkv", even_times(24, 2), size=SIZE, sound="pcm_s16le", sound_end_s=4.0)
    cuts = cut(tmp_path, made.path, [clip_row(0, 1.0, 24, SIZE), clip_row(1, 1.5, 24, SIZE)])

    assert [row["sample_id"] for row in cuts.kept] == ["film/c000"]
    assert [(why.sample_id, why.reason, why.score) for why in cuts.rejected] == [
        ("film/c001", Reason.FRAMES_TOO_FEW, 12.0)
    ]


@pytest.mark.slow
def test_damaged_pictures_reject_the_clips_that_show_them(tmp_path):
    made = flash_film(tmp_path / "film.mkv", even_times(24, 8), size=SIZE, sound="pcm_s16le")
    whole = bytearray(made.path.read_bytes())
    with av.open(str(made.path)) as container:
        places = [(p.pts * p.time_base, p.pos, p.size) for p in container.demux(video=0) if p.size]
    pos, size = next((pos, size) for time, pos, size in places if time >= 5)
    whole[pos + 8 : pos + 8 + size] = b"\xff" * size
    made.path.write_bytes(whole)
    rows = [clip_row(0, 0.5, 48, SIZE), clip_row(1, 4.5, 48, SIZE)]
    cuts = cut(tmp_path, made.path, rows)

    assert [row["sample_id"] for row in cuts.kept] == ["film/c000"]
    assert [why.reason for why in cuts.rejected] == [Reason.FRAMES_UNREADABLE]


def test_a_video_that_changed_or_went_away_says_nothing_about_clips(tmp_path):
    made = flash_film(tmp_path / "film.mp4", even_times(24, 2), size=SIZE)
    shard = dance_shard(tmp_path, made.path)
    with made.path.open("ab") as growing:
        growing.write(b"more")
    stage = CutClips(CutConfig(size=64), made.path)
    with pytest.raises(SourceError, match="has changed"):
        run_one(stage, shard)
    made.path.unlink()
    with pytest.raises(SourceError, match="mounted"):
        run_one(stage, shard)


def run_one(stage: CutClips, shard) -> None:
    import pyarrow as pa

    from tasks.schema.clips import CLIP_SCHEMA
    from tasks.shards.stage import Whole

    rows = pa.Table.from_pylist([clip_row(0, 0.0, 24, SIZE)], schema=CLIP_SCHEMA)
    list(stage.process_with(iter(rows.to_batches()), (Whole(shard),)))


def test_no_clips_make_no_shard_rows(tmp_path):
    (output,) = CutClips(CutConfig(), tmp_path / "gone.mp4").process_with(iter(()), ())

    assert output.kept.schema == CUT_SCHEMA
    assert output.facts == {"decoded": 0, "seconds": 0.0, "bytes": 0}


@pytest.mark.slow
def test_frames_after_a_seek_are_those_of_the_whole_film(tmp_path):
    made = flash_film(tmp_path / "film.mp4", even_times(25, 12), size=SIZE, options={"preset": "veryfast", "bf": "3"})
    looked = film(path=str(made.path), time_base=Fraction(1, 90_000), fps=Fraction(25), duration_s=12.0)
    whole = {each.pts: each.frame.to_ndarray().tobytes() for each in film_frames(looked, made.path)}
    part = list(film_frames(looked, made.path, 90_000 * 7))

    assert part[0].pts <= 90_000 * 7 < part[-1].pts
    assert len(part) < len(whole)
    assert all(whole[each.pts] == each.frame.to_ndarray().tobytes() for each in part)
    assert not any(each.doubtful for each in part)
