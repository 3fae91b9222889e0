"""Windows of films: always the frames of a decode of the whole film, or a named reason."""

import random
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.schema.errors import SourceError
from tasks.schema.films import Film, Transfer
from tasks.schema.rejections import Reason
from tasks.video.deinterlace import deinterlaced
from tasks.video.frames import NONREF_CODECS, Frames, WindowError, WindowReader
from tests.video.make_film import Scene, make_film

SCENES = (Scene(frames=30), Scene(frames=40, seed=1))
SMALL: dict[str, Any] = {"width": 128, "height": 80, "scenes": SCENES, "gop": (8, 24)}
FILMS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"codec_options": "bframes=4:b-pyramid=normal"},
    "h264_open_gop.mkv": {"codec_options": "open-gop=1:bframes=4:scenecut=0"},
    "h264_no_keys.mkv": {"codec_options": "intra-refresh=1:bframes=0:scenecut=0"},
    "h264_later.ts": {"extra": ("-output_ts_offset", "3.5")},
    "hevc_open_gop.mkv": {"transfer": "pq", "preset": "medium", "codec_options": "open-gop=1:bframes=6:scenecut=0"},
    "hevc_layers.mp4": {"codec": "hevc", "preset": "medium", "codec_options": "temporal-layers=3:bframes=7"},
    "hevc_radl.mp4": {"codec": "hevc", "preset": "medium", "codec_options": "radl=2:open-gop=0:bframes=4:scenecut=0"},
    "av1.mp4": {"codec": "av1"},
    "mpeg2.mpg": {"codec": "mpeg2"},
    "mpeg4.mp4": {"codec": "mpeg4"},
}
UNUSUAL = ("h264_no_keys.mkv", "h264_later.ts", "hevc_layers.mp4", "hevc_radl.mp4", "mpeg4.mp4")


def described(path: Path, *, interlaced: bool = False) -> Film:
    """A film of 24 frames a second as probing describes it, in what reading needs."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        pts = sorted(packet.pts for packet in container.demux(stream) if packet.size and packet.pts is not None)
        context, time_base = stream.codec_context, stream.time_base
        assert time_base
        return Film(
            path=str(path),
            digest="",
            size_bytes=path.stat().st_size,
            codec=context.codec.canonical_name,
            width=context.width,
            height=context.height,
            coded_width=context.width,
            coded_height=context.height,
            rotation=0,
            content=(0, 0, context.width, context.height),
            fps=Fraction(24),
            time_base=time_base,
            start_pts=pts[0],
            duration_s=float((pts[-1] - pts[0]) * time_base) + 1 / 24,
            bit_depth=8,
            transfer=Transfer.SDR,
            primaries="unknown",
            matrix="unknown",
            full_range=False,
            interlaced=interlaced,
            vfr=False,
        )


def pixels(frame: av.VideoFrame) -> bytes:
    step = (frame.format.components[0].bits + 7) // 8
    rows = [
        np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width * step]
        for plane in frame.planes
    ]
    return b"".join(each.tobytes() for each in rows)


def decoded(path: Path, **settings: Any) -> dict[int, av.VideoFrame]:
    """Every frame of a film by its pts, decoded from its beginning to its end."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        return {frame.pts: frame for frame in container.decode(stream) if frame.pts is not None}


def reading(reader: WindowReader, time_s: float) -> Frames | Reason:
    try:
        return reader.window(time_s)
    except WindowError as error:
        return error.reason


def check(film: Film, path: Path, order: list[float], truth: dict[int, bytes]) -> int:
    """Read windows in an order, compare each with the whole film, and count the frames that were decoded."""
    known = sorted(truth)
    with WindowReader(film, path) as reader:
        for time_s in order:
            first = next(
                (n for n, p in enumerate(known) if (p - film.start_pts) * film.time_base >= time_s - 1e-6), 999
            )
            expected = known[first : first + 7]
            seen = reading(reader, time_s)
            if len(expected) < 7:
                assert seen is Reason.FRAMES_TOO_FEW
                continue
            assert isinstance(seen, Frames), (time_s, seen)
            assert list(seen.pts) == expected
            assert [pixels(frame) for frame in seen.frames] == [truth[pts] for pts in expected], time_s
            assert seen.times_s[0] == float((expected[0] - film.start_pts) * film.time_base)
        return reader.decoded


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


def made(folder: Path, name: str) -> Path:
    path = folder / name
    return path if path.exists() else make_film(path, **SMALL | FILMS[name])


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in UNUSUAL else n for n in FILMS])
def test_any_order_gives_the_frames_of_the_whole_film(films: Path, name: str) -> None:
    path = made(films, name)
    film = described(path)
    truth = {pts: pixels(frame) for pts, frame in decoded(path).items()}
    rng = random.Random(name)  # noqa: S311
    times = [rng.uniform(0, 1.02) * film.duration_s for _ in range(12)]
    times += [float((pts - film.start_pts) * film.time_base) for pts in rng.sample(sorted(truth), 6)] + [0.0]
    assert check(film, path, sorted(times), truth) <= 1.4 * len(truth)
    for order in (times, sorted(times, reverse=True), times[::3] + times[1::3] + sorted(times[2::3])):
        check(film, path, order, truth)


@pytest.mark.parametrize("name", ["h264.mp4", "hevc_open_gop.mkv", "mpeg2.mpg", "mpeg4.mp4"])
def test_skipping_pictures_that_none_refers_to_leaves_the_others_as_they_are(films: Path, name: str) -> None:
    path = made(films, name)
    assert described(path).codec in NONREF_CODECS
    whole, some = decoded(path), decoded(path, skip_frame="NONREF")
    assert 0 < len(some) < 0.8 * len(whole)
    assert all(pixels(frame) == pixels(whole[pts]) for pts, frame in some.items())


def test_groups_that_no_window_needs_are_not_decoded(films: Path) -> None:
    path = make_film(films / "long.mkv", width=64, height=48, frames=480, gop=(24, 24))
    film = described(path)
    with WindowReader(film, path) as reader:
        for time_s in (1.0, 8.0, 19.0):
            reader.window(time_s)
        assert reader.decoded <= 3 * (7 + 4)


def test_windows_side_by_side_share_what_was_decoded(films: Path) -> None:
    path = made(films, "h264.mp4")
    film = described(path)
    with WindowReader(film, path) as reader:
        for number in range(60):
            reader.window(number / 24)
        assert reader.decoded <= 75


def test_a_film_of_one_group_is_decoded_once_where_times_ascend(films: Path) -> None:
    path = make_film(films / "one.mkv", width=64, height=48, frames=720, gop=(9999, 9999), codec_options="scenecut=0")
    film = described(path)
    with WindowReader(film, path) as reader:
        for time_s in (0.5, 11.0, 22.5, 29.0):
            reader.window(time_s)
        assert reader.decoded <= 720


def test_gaps_count_as_equal_up_to_the_rounding_of_the_container(films: Path) -> None:
    path = make_film(films / "holes.mkv", width=64, height=48, frames=72, dropped=(30, 45, 46), gop=(12, 24))
    film = described(path)
    with WindowReader(film, path) as reader:
        window = reader.window(0.0)
        assert {b - a for a, b in pairwise(window.pts)} == {41, 42}
        seen = [reading(reader, frame / 24 - 0.01) for frame in range(66)]
    uneven = [n for n, each in enumerate(seen) if each is Reason.FRAME_GAPS_UNEQUAL]
    assert uneven == [*range(24, 30), *range(39, 45)]


def test_the_end_of_the_film_is_a_reason(films: Path) -> None:
    path = made(films, "h264.mp4")
    film = described(path)
    with WindowReader(film, path) as reader:
        assert isinstance(reading(reader, 63 / 24), Frames)
        assert reading(reader, 64 / 24) is Reason.FRAMES_TOO_FEW
        assert reading(reader, 1e6) is Reason.FRAMES_TOO_FEW
        assert isinstance(reading(reader, 1.0), Frames)


def test_damage_is_a_reason_for_the_windows_that_it_reaches(films: Path) -> None:
    path = made(films, "mpeg2.mpg")
    film, truth = described(path), {pts: pixels(frame) for pts, frame in decoded(path).items()}
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    damaged = films / "damaged.mpg"
    damaged.write_bytes(data)
    reasons: dict[float, Reason | None] = {}
    for order in (range(63), range(62, -1, -5)):
        with WindowReader(film, damaged) as reader:
            for number in order:
                seen = reading(reader, number / 24)
                reason = seen if isinstance(seen, Reason) else None
                assert reasons.setdefault(number, reason) is reason
                if isinstance(seen, Frames):
                    assert [pixels(frame) for frame in seen.frames] == [truth[pts] for pts in seen.pts]
    lost = [reason for reason in reasons.values() if reason]
    assert 0 < len(lost) < 50
    assert set(lost) <= {Reason.FRAMES_UNREADABLE, Reason.FRAME_GAPS_UNEQUAL}


def test_a_window_that_takes_too_long_is_given_up(films: Path) -> None:
    path = made(films, "h264.mp4")
    with WindowReader(described(path), path, timeout_s=0.0) as reader:
        assert reading(reader, 1.0) is Reason.DECODER_TIMED_OUT


def test_a_disk_that_is_gone_says_nothing_about_the_film(films: Path) -> None:
    path = films / "gone.mp4"
    path.write_bytes(made(films, "h264.mp4").read_bytes())
    film = described(path)
    with WindowReader(film, path) as reader:
        reader.window(0.0)
        path.unlink()
        with pytest.raises(SourceError, match="mounted"):
            reader.window(1e3)


def rows_differ(frame: av.VideoFrame) -> float:
    """How much neighbouring rows of luma differ."""
    plane = frame.planes[0]
    luma: NDArray[np.int16] = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size).astype(np.int16)
    return float(np.abs(np.diff(luma[: plane.height, : plane.width], axis=0)).mean())


@pytest.mark.parametrize("codec", ["mpeg2", "h264"])
def test_interlaced_films_are_deinterlaced_as_a_whole_film_is(films: Path, codec: Any) -> None:
    path = make_film(films / f"{codec}_fields.mkv", codec=codec, interlaced=True, width=128, height=80, gop=(8, 12))
    film = described(path, interlaced=True)
    combed = list(decoded(path).values())
    whole = {frame.pts: pixels(frame) for frame in deinterlaced(combed)}
    assert list(whole) == [frame.pts for frame in combed]
    with WindowReader(film, path) as reader:
        for time_s in (0.0, 0.55, 0.3, 1.0, 40.5 / 24):
            window = reader.window(time_s)
            assert [pixels(frame) for frame in window.frames] == [whole[pts] for pts in window.pts]
            before = [rows_differ(frame) for frame in combed if frame.pts in window.pts]
            assert np.mean([rows_differ(frame) for frame in window.frames]) < 0.9 * np.mean(before)
            assert window.frames[0].format.name == combed[0].format.name


@pytest.mark.real
def test_real_films_give_windows_or_reasons(real_data: Path) -> None:
    from tasks.video.probe import ProbeError, probe

    for path in [*sorted((real_data / "film").glob("*.mp4")), *sorted((real_data / "badinputs").glob("video_*"))]:
        try:
            film = probe(path)
        except ProbeError:
            continue
        with WindowReader(film, path) as reader:
            for part in (0.0, 0.3, 0.8, 0.5, 1.0):
                seen = reading(reader, part * film.duration_s)
                assert isinstance(seen, Reason) or len(seen.frames) == 7
