"""Films as they come: each is understood, or refused with one reason, and none hangs or harms the caller."""

import os
import subprocess
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tasks.images.decode import DecodeError
from tasks.schema.films import Film, Transfer
from tasks.schema.rejections import Reason
from tasks.video import probe as module
from tasks.video import timestamps
from tasks.video.container import open_film
from tasks.video.dolby_vision import DolbyVision, dolby_vision, why_unsupported
from tasks.video.ffmpeg import ffmpeg_exe
from tasks.video.probe import ProbeError, film_of_scan, probe, upright_size
from tasks.video.scan import Scan, scan
from tests.video.make_film import Scene, make_film

BOXES = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")


def ffmpeg(*arguments: object) -> None:
    command = [str(ffmpeg_exe()), "-loglevel", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, timeout=60)


def refused(path: Path) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        probe(path)
    return caught.value


def refused_here(path: Path) -> DecodeError:
    """As `refused`, without the child: for films that we made and trust."""
    with pytest.raises(DecodeError) as caught:
        scan(b"", str(path))
    return caught.value


def probe_here(path: Path) -> Film:
    """As `probe`, without the child: for films that we made and trust."""
    return film_of_scan(path, "", Scan.model_validate(scan(b"", str(path)), strict=False))


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    make_film(folder / "plain.mp4", frames=40, fps=Fraction(24000, 1001))
    make_film(folder / "pq.mp4", transfer="pq", frames=30, letterbox=(20, 26))
    return folder


def with_dolby_vision(film: Path, to: Path, profile: int, compatibility: int, base_layer: bool = True) -> Path:
    """Put a configuration record into the sample entry of an MP4 file whose index is at its end."""
    flags = (profile << 9) | (6 << 3) | 0b100 | base_layer
    record = bytes((1, 0)) + flags.to_bytes(2, "big") + bytes((compatibility << 4,)) + bytes(19)
    box = (8 + len(record)).to_bytes(4, "big") + (b"dvvC" if profile > 7 else b"dvcC") + record
    data = bytearray(film.read_bytes())
    start, parents = 0, []
    for name in (*BOXES, b"hvc1"):
        start = data.index(name, start) - 4
        parents.append(start)
        start += 8
    end = parents[-1] + int.from_bytes(data[parents[-1] : parents[-1] + 4], "big")
    for parent in parents:
        data[parent : parent + 4] = (int.from_bytes(data[parent : parent + 4], "big") + len(box)).to_bytes(4, "big")
    data[end:end] = box
    to.write_bytes(data)
    return to


def test_a_plain_film(films):
    path = films / "plain.mp4"
    film = probe(path)

    assert (film.path, film.size_bytes, len(film.digest)) == (str(path), path.stat().st_size, 64)
    assert (film.codec, film.bit_depth, film.rotation, film.vfr, film.interlaced) == ("h264", 8, 0, False, False)
    assert (film.width, film.height, film.coded_width, film.coded_height) == (320, 180, 320, 180)
    assert (film.fps, film.time_base, film.start_pts) == (Fraction(24000, 1001), Fraction(1, 24000), 0)
    assert film.duration_s == pytest.approx(40 * 1001 / 24000)
    assert (film.transfer, film.primaries, film.matrix, film.full_range) == (Transfer.SDR, "bt709", "bt709", False)
    assert film.content == (0, 0, 320, 180)


def test_hdr_with_bars(films):
    film = probe_here(films / "pq.mp4")

    assert (film.codec, film.bit_depth, film.content) == ("hevc", 10, (0, 20, 320, 154))
    assert (film.transfer, film.primaries, film.matrix) == (Transfer.PQ, "bt2020", "bt2020nc")


def test_the_container_says_what_frames_leave_out(films, tmp_path):
    silent = "h264_metadata=colour_primaries=2:transfer_characteristics=2:matrix_coefficients=2"
    hlg = ("-color_trc", "arib-std-b67", "-color_primaries", "bt2020", "-colorspace", "bt2020nc")
    ffmpeg("-i", films / "plain.mp4", "-c", "copy", "-bsf:v", silent, *hlg, tmp_path / "film.mkv")
    film = probe_here(tmp_path / "film.mkv")

    assert (film.transfer, film.primaries, film.matrix) == (Transfer.HLG, "bt2020", "bt2020nc")


def test_a_container_against_its_frames_is_refused(films, tmp_path):
    pq = ("-color_trc", "smpte2084", "-color_primaries", "bt2020", "-colorspace", "bt2020nc")
    ffmpeg("-i", films / "plain.mp4", "-c", "copy", *pq, "-movflags", "write_colr", tmp_path / "film.mp4")
    with pytest.raises(ProbeError, match="declares transfer smpte2084") as caught:
        probe_here(tmp_path / "film.mp4")

    assert caught.value.reason is Reason.COLOUR_TAGS_CONTRADICT


@pytest.mark.parametrize(
    ("profile", "compatibility", "kept"), [(5, 0, False), (10, 0, False), (7, 6, True), (8, 1, True), (8, 4, True)]
)
def test_dolby_vision_by_its_record(films, tmp_path, profile, compatibility, kept):
    path = with_dolby_vision(films / "pq.mp4", tmp_path / "film.mp4", profile, compatibility)
    if kept:
        assert probe_here(path).transfer is Transfer.PQ
        return
    with pytest.raises(ProbeError, match=f"profile {profile} ") as caught:
        probe_here(path)
    assert caught.value.reason is Reason.DOLBY_VISION_UNSUPPORTED


def test_dolby_vision_in_words():
    line = (
        "      DOVI configuration record: version: 1.0, profile: 5, level: 6, rpu flag: 1, el flag: 0, bl flag: 1, "
        "compatibility id: 0\n"
    )
    log = f"Input #0, mov\n  Stream #0:0: Audio\n  Stream #0:1(und): Video\n    Side data:\n{line}Output #0, null\n"

    assert dolby_vision(log, 1) == DolbyVision(profile=5, base_layer=True, compatibility=0)
    assert dolby_vision(log, 0) is None
    assert dolby_vision(log.replace("Output #0", "Stream mapping:\n").replace(line, "") + line, 1) is None


def test_dolby_vision_without_a_record_or_a_base_layer():
    assert why_unsupported(None, metadata=False, tagged=False) is None
    assert why_unsupported(None, metadata=True, tagged=True) is None
    assert "without a record" in str(why_unsupported(None, metadata=True, tagged=False))
    only_enhancement = DolbyVision(profile=7, base_layer=False, compatibility=6)
    assert "without a base layer" in str(why_unsupported(only_enhancement, metadata=True, tagged=True))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_that_of_a_player(tmp_path, degrees):
    path = make_film(tmp_path / "film.mp4", frames=8, letterbox=(20, 40), rotation=degrees)
    film = probe_here(path)
    upright = subprocess.run(
        [ffmpeg_exe(), "-loglevel", "error", "-i", path, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray", "-"],
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    picture = np.frombuffer(upright, np.uint8).reshape(film.height, film.width)
    left, top, right, bottom = film.content

    assert film.rotation == degrees
    assert (film.coded_width, film.coded_height) == (320, 180)
    assert (film.width, film.height) == ((320, 180) if degrees == 180 else (180, 320))
    inside = np.zeros(picture.shape, bool)
    inside[top:bottom, left:right] = True
    assert inside.mean() == pytest.approx(120 / 180)
    assert picture[inside].mean() > 4 * picture[~inside].mean()


@pytest.mark.parametrize(
    ("aspect", "rotation", "expected"),
    [
        ("1", 0, (720, 576)),
        ("64/45", 0, (720, 404)),
        ("16/15", 90, (540, 720)),
        ("1/2", 0, (360, 576)),
        ("3996/4000", 0, (720, 576)),
        ("1/100", 0, (720, 576)),
    ],
)
def test_square_pixels_enlarge_nothing(aspect, rotation, expected):
    assert upright_size(720, 576, Fraction(aspect), rotation) == expected


@pytest.mark.parametrize(("codec", "name"), [("h264", "f.mp4"), ("ffv1", "f.mkv"), ("mpeg2", "f.ts")])
def test_interlaced_by_tag_and_by_looking(tmp_path, codec, name):
    film = scan(b"", str(make_film(tmp_path / name, frames=48, codec=codec, interlaced=True)))

    assert film["interlaced"]


def test_grain_is_no_interlacing(tmp_path):
    film = scan(b"", str(make_film(tmp_path / "film.mkv", frames=24, codec="ffv1", grain=6.0)))

    assert not film["interlaced"]


def test_frames_that_were_dropped_make_a_variable_rate(tmp_path):
    film = scan(b"", str(make_film(tmp_path / "film.mp4", frames=48, dropped=(5, 6, 20))))

    assert film["vfr"]
    assert (film["end_pts"] - film["start_pts"]) / film["time_base"][1] == pytest.approx(2, abs=0.01)


def test_a_film_that_is_dark_at_its_key_frame_keeps_its_picture(tmp_path):
    scenes = [Scene("fade_in", 60), Scene("moving", 20, level=0.2)]
    film = make_film(tmp_path / "film.mp4", scenes=scenes, gop=(250, 250), letterbox=(20, 20))

    assert scan(b"", str(film))["content"] == [0, 20, 320, 160]


@pytest.mark.parametrize("name", ["film.mkv", "film.webm", "film.avi", "film.ts", "film.flv", "film.mov"])
def test_containers(tmp_path, name):
    codec = "vp9" if name.endswith("webm") else "h264"
    film = scan(b"", str(make_film(tmp_path / name, width=64, height=48, frames=30, fps=25, codec=codec)))

    assert (film["fps"], film["vfr"], film["content"]) == ([25, 1], False, [0, 0, 64, 48])
    assert (film["end_pts"] - film["start_pts"]) / film["time_base"][1] == pytest.approx(30 / 25, abs=0.003)


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4", "film.ts"])
def test_large_films_are_read_in_places(tmp_path, monkeypatch, name):
    path = make_film(tmp_path / name, width=64, height=48, frames=1200, fps=25, gop=(10, 25), preset="ultrafast")
    whole = scan(b"", str(path))
    monkeypatch.setattr(timestamps, "WHOLE_BYTES", 0)
    monkeypatch.setattr(timestamps, "PLACE_PACKETS", 64)

    assert scan(b"", str(path)) == whole


def test_a_cover_is_not_the_film(films, tmp_path):
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=640x640", "-frames:v", "1", tmp_path / "cover.png")
    inputs = ("-i", tmp_path / "cover.png", "-i", films / "plain.mp4", "-map", "0", "-map", "1")
    ffmpeg(*inputs, "-c", "copy", "-disposition:v:0", "attached_pic", tmp_path / "film.mp4")
    ffmpeg(
        "-i", tmp_path / "film.mp4", "-map", "0:1", "-c", "copy", "-disposition:0", "attached_pic", tmp_path / "c.mp4"
    )

    assert scan(b"", str(tmp_path / "film.mp4"))["coded_width"] == 320
    assert refused_here(tmp_path / "c.mp4").reason is Reason.VIDEO_UNREADABLE


def test_raw_streams_have_no_timestamps(films, tmp_path):
    ffmpeg("-i", films / "pq.mp4", "-c", "copy", tmp_path / "film.hevc")
    error = refused_here(tmp_path / "film.hevc")

    assert error.reason is Reason.TIMESTAMPS_MISSING
    assert "-c copy" in error.detail


def test_a_film_of_fewer_frames_than_a_window(tmp_path):
    error = refused_here(make_film(tmp_path / "film.mp4", width=64, height=48, frames=6))

    assert error.reason is Reason.FILM_TOO_SHORT


def test_a_film_that_was_copied_in_part(tmp_path):
    long = make_film(tmp_path / "long.mkv", width=64, height=48, frames=240, extra=("-cluster_time_limit", "500"))
    ffmpeg("-i", long, "-c", "copy", "-movflags", "faststart", tmp_path / "long.mp4")
    for name in ("long.mkv", "long.mp4"):
        data = (tmp_path / name).read_bytes()
        cut = tmp_path / f"cut_{name}"
        cut.write_bytes(data[: len(data) * 2 // 3])
        error = refused_here(cut)

        assert error.reason is Reason.VIDEO_TRUNCATED, name
        assert "of 10.0 s" in error.detail


@pytest.mark.parametrize("location", ["left", "topleft", "center"])
def test_where_chroma_lies(tmp_path, location):
    number = {"left": 0, "center": 1, "topleft": 2}[location]
    film = make_film(
        tmp_path / "film.mp4", width=64, height=48, frames=24, extra=("-x264-params", f"chromaloc={number}")
    )
    assert probe_here(film).chroma_location == location


def test_a_film_whose_clock_begins_late_is_whole(films, tmp_path):
    late = tmp_path / "late.mkv"
    ffmpeg("-i", films / "plain.mp4", "-c", "copy", "-output_ts_offset", "9.5", late)
    film = probe_here(late)
    assert film.duration_s == pytest.approx(40 * 1001 / 24000, abs=2e-3)
    assert film.start_pts == 9500


def test_a_film_whose_index_is_missing(films, tmp_path):
    data = (films / "plain.mp4").read_bytes()
    (tmp_path / "film.mp4").write_bytes(data[: data.index(b"moov") - 4])

    assert refused_here(tmp_path / "film.mp4").reason is Reason.VIDEO_TRUNCATED


def test_what_is_no_film(tmp_path, films):
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48", "-frames:v", "1", tmp_path / "picture.png")
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", tmp_path / "sound.mp4")
    (tmp_path / "picture.png").rename(tmp_path / "picture.mp4")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a film\n" * 100)
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile '{films / 'plain.mp4'}'\n")
    (tmp_path / "playlist.mp4").write_text(f"#EXTM3U\n#EXTINF:2,\n{films / 'plain.mp4'}\n#EXT-X-ENDLIST\n")
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(50_000))

    for path in sorted(tmp_path.glob("*.mp4")):
        assert refused_here(path).reason is Reason.VIDEO_UNREADABLE, path.name


def test_damage_in_the_middle_is_left_to_the_windows(films, tmp_path):
    data = bytearray((films / "plain.mp4").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 500] = bytes(500)
    (tmp_path / "film.mp4").write_bytes(data)

    assert isinstance(probe_here(tmp_path / "film.mp4"), Film)


def test_a_film_that_is_not_there(tmp_path):
    assert refused(tmp_path / "film.mp4").reason is Reason.FILM_MISSING
    assert refused(tmp_path).reason is Reason.FILM_MISSING


def crash(_: bytes, path: str) -> dict:
    os.abort()


def hang(_: bytes, path: str) -> dict:
    time.sleep(60)
    return {}


@pytest.mark.slow
@pytest.mark.parametrize(("badly", "reason"), [(crash, Reason.DECODER_CRASHED), (hang, Reason.DECODER_TIMED_OUT)])
def test_decoders_that_crash_or_hang_harm_nobody(films, monkeypatch, badly, reason):
    monkeypatch.setattr(module, "scan", badly)
    began = time.monotonic()
    with pytest.raises(ProbeError) as caught:
        probe(films / "plain.mp4", timeout_s=0.3)

    assert caught.value.reason is reason
    assert time.monotonic() - began < 20


def test_pipes_and_devices_are_no_films(tmp_path):
    os.mkfifo(tmp_path / "film.mp4")

    assert refused(tmp_path / "film.mp4").reason is Reason.FILM_MISSING


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bigbuckbunny_720p_5s.mp4", {"fps": 25, "content": (0, 0, 1280, 720), "transfer": Transfer.SDR}),
        ("bikes_640x272_10s_cuts.mp4", {"fps": 25, "content": (0, 0, 640, 272)}),
        ("sintel_480p_30s_cuts.mp4", {"fps": 24, "content": (0, 58, 854, 422), "duration_s": 30.0}),
        ("uhd_sdr_h264_3840x2160_rotated.mp4", {"width": 2160, "height": 3840, "rotation": 90, "full_range": True}),
        ("hdr10_pq_av1_1080p_mdcv_clli.mp4", {"transfer": Transfer.PQ, "bit_depth": 10, "codec": "av1"}),
        ("hdr10_pq_av1_720x1280_4s.mp4", {"transfer": Transfer.PQ, "fps": Fraction(30000, 1001), "height": 1280}),
        ("hdr10_pq_hevc10_1080p_no-colr-box.mp4", {"transfer": Transfer.PQ, "vfr": True}),
        ("hlg_hevc10_1080p_colorchart.mp4", {"transfer": Transfer.HLG, "bit_depth": 10, "vfr": False}),
    ],
)
def test_real_films(real_data, name, expected):
    film = probe(real_data / "film" / name)

    assert {key: getattr(film, key) for key in expected} == expected
    assert not film.interlaced
    with open_film(Path(film.path)) as (container, stream):
        assert next(container.decode(stream)).pts == film.start_pts


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("film/hdr10plus_pq_hevc10_2160p_1frame.hevc", Reason.TIMESTAMPS_MISSING),
        ("badinputs/hevc_undecodable_183B.hevc", Reason.VIDEO_UNREADABLE),
        ("badinputs/video_long_4k_av1_21766frames.mp4", Reason.VIDEO_BOMB),
        ("badinputs/pillow_hopper.gif", Reason.VIDEO_UNREADABLE),
        ("SOURCES.tsv", Reason.VIDEO_UNREADABLE),
    ],
)
def test_real_broken_films(real_data, name, reason):
    assert refused(real_data / name).reason is reason


@pytest.mark.real
@pytest.mark.parametrize("name", ["video_corrupted_stream.mp4", "video_with_failing_audio.mp4"])
def test_real_films_of_which_only_parts_are_broken(real_data, name):
    assert probe(real_data / "badinputs" / name).duration_s > 4
