"""Frames of videos: exact frames, frame-for-frame drawings, damage, bombs."""

import io
import signal
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.ingest import video_frames
from tasks.ingest.hub import HubAccess
from tasks.ingest.photos import IngestPhotos, list_source
from tasks.ingest.video_frames import encode_photo, frames, scan, scanned
from tasks.music.sound_track import SoundError, open_sound
from tasks.schema.errors import SourceError
from tasks.schema.rejections import Reason
from tasks.schema.sources import PhotoSource, SourceKind
from tasks.shards.derive import Derivation, committed
from tasks.shards.store import Store
from tasks.video.container import open_film
from tests.ingest.photo_rows import age, ingest, write
from tests.video.deadly import MARK, SECONDS, deadly_scan, realised


@pytest.fixture(autouse=True)
def scans_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scanning in this process, which is quicker."""
    monkeypatch.setattr(video_frames, "scanned", scan)


def source(video: Path, drawings: Path | None = None) -> PhotoSource:
    drawn = str(drawings) if drawings else ""
    return PhotoSource(
        name="dance", kind=SourceKind.VIDEO, category="lifestyle", location=str(video), conditioning_location=drawn
    )


def film(
    path: Path,
    count: int,
    *,
    codec: str = "libx264",
    rotate: int = 0,
    options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
) -> Path:
    """A video of `count` frames, 64x48, whose grey level is 5 times the frame's number; `times` in 1/1000 s."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.bit_rate = 2_000_000
        stream.codec_context.time_base = Fraction(1, 1000 if times else 25)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * number, np.uint8), format="rgb24")
            frame.pts = times[number] if times else number
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def grey(data: bytes) -> float:
    return float(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).mean())


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.webm"])
@pytest.mark.parametrize("asked", [7, 1000])
def test_frames_in_display_order_whatever_the_parts(tmp_path: Path, name: str, asked: int) -> None:
    codec = {"a.avi": "mpeg4", "a.webm": "libvpx-vp9"}.get(name, "libx264")
    options = {"g": "12", "bf": "3", "b-adapt": "0"} if codec == "libx264" else {"g": "12"}
    listing, kept, rejected = ingest(source(film(tmp_path / name, 50, codec=codec, options=options)), part_rows=asked)
    assert not rejected
    assert sum(part.rows for part in listing.parts) == 50
    assert [round(grey(row["image"]["bytes"]) / 5) for row in kept] == list(range(50))
    assert kept[12]["source_uri"] == f"video://dance/{name}#frame=12"
    assert kept[12]["image"]["path"] == "a_000012.jpg"
    assert str(tmp_path) not in str([kept, listing])


def test_uneven_times(tmp_path: Path) -> None:
    times = list(np.cumsum([30, 40, 10, 200, 33, 7, 90] * 6)[:40])
    _, kept, _ = ingest(source(film(tmp_path / "a.mp4", 40, times=[int(t) for t in times])), part_rows=9)
    assert [round(grey(row["image"]["bytes"]) / 5) for row in kept] == list(range(40))


def test_drawings_go_frame_for_frame(tmp_path: Path) -> None:
    video = film(tmp_path / "a.mp4", 40, options={"bf": "3"})
    drawings = film(tmp_path / "b.mkv", 40, codec="ffv1")
    _, kept, _ = ingest(source(video, drawings), part_rows=16)
    for number, row in enumerate(kept):
        assert row["conditioning"]["bytes"].startswith(b"\x89PNG")
        assert row["conditioning"]["path"] == f"a_{number:06d}.png"
        assert round(grey(row["image"]["bytes"]) / 5) == round(grey(row["conditioning"]["bytes"]) / 5) == number
    with pytest.raises(SourceError, match=r"has 39 frames and .* 40: drawings go frame for frame"):
        ingest(source(video, film(tmp_path / "c.mp4", 39)))
    with pytest.raises(SourceError, match=r"drawings .* cannot be used: d.mp4 does not open as a video"):
        ingest(source(video, write(tmp_path / "d.mp4", b"x")))


def test_damage_ends_trust_until_the_next_key_frame(tmp_path: Path) -> None:
    """A packet of the second of four groups of pictures is overwritten."""
    path = film(tmp_path / "a.mp4", 48, options={"g": "12", "bf": "0", "sc_threshold": "0", "qp": "1"})
    with av.open(str(path)) as container:
        packet = list(container.demux(video=0))[17]
        place, size = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    data[place + 4 : place + size] = b"\xff" * (size - 4)
    path.write_bytes(bytes(data))
    whole = ingest(source(path))
    assert [int(row["source_uri"].split("=")[1]) for row in whole[1]] == [*range(17), *range(24, 48)]
    assert [(r.reason, r.source_uri) for r in whole[2]] == [
        (Reason.VIDEO_UNREADABLE, f"video://dance/a.mp4#frame={number}") for number in range(17, 24)
    ]
    assert ingest(source(path), part_rows=5)[1:] == whole[1:]


def test_a_video_cut_short(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", 50, options={"g": "10"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _, kept, rejected = ingest(source(path))
    assert 0 < len(kept) < 50
    greys = [round(grey(row["image"]["bytes"]) / 5) for row in kept]
    assert greys == sorted(set(greys))
    assert {r.reason for r in rejected} <= {Reason.VIDEO_UNREADABLE}


def test_a_bomb_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "a.mp4", 50)
    monkeypatch.setattr(video_frames, "BOMB_PIXELS", 50 * 64 * 48 - 1)
    monkeypatch.setattr(video_frames, "BOMB_PIXELS_PER_BYTE", 1)
    listing, kept, (rejection,) = ingest(source(path), part_rows=8)
    assert (len(listing.parts), len(kept), rejection.reason) == (1, 0, Reason.VIDEO_BOMB)
    assert rejection.score == pytest.approx(50 * 64 * 48 / path.stat().st_size)
    monkeypatch.setattr(video_frames, "BOMB_PIXELS", 50 * 64 * 48)
    assert len(ingest(source(path))[1]) > 40


@pytest.mark.parametrize("data", [b"", b"no video", b"\0" * 5000])
def test_what_is_no_video_is_one_rejection(tmp_path: Path, data: bytes) -> None:
    listing, kept, (rejection,) = ingest(source(write(tmp_path / "a.mp4", data)))
    assert (listing.parts[0].rows, kept, rejection.reason) == (1, [], Reason.VIDEO_UNREADABLE)
    assert rejection.sample_id == "dance/row-a.mp4"


PLAYLISTS = {
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{other}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {other}\n",
}


@pytest.mark.parametrize("playlist", PLAYLISTS)
def test_a_playlist_does_not_lead_to_other_files(tmp_path: Path, playlist: str) -> None:
    film(tmp_path / "other.ts", 10, codec="mpeg2video")
    path = write(tmp_path / "a.mp4", PLAYLISTS[playlist].format(other="other.ts").encode())
    _, kept, (rejection,) = ingest(source(path))
    assert (kept, rejection.reason) == ([], Reason.VIDEO_UNREADABLE)
    with pytest.raises(av.error.FFmpegError), open_film(path):
        raise AssertionError("opened")
    with pytest.raises(SoundError, match="does not open"), open_sound(path):
        raise AssertionError("opened")


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    sound = io.BytesIO()
    with av.open(sound, "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    _, _, (rejection,) = ingest(source(write(tmp_path / "a.wav", sound.getvalue())))
    assert rejection.detail == "a.wav has no pictures."


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="There is no video"):
        ingest(source(tmp_path / "a.mp4"))
    with pytest.raises(SourceError, match="is not absolute"):
        ingest(source(Path("a.mp4")))


def test_changed_bytes_are_noticed(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 10)
    listing = list_source(source(path), HubAccess(), 256)
    film(path, 11)
    with pytest.raises(SourceError, match="have changed since they were listed"):
        list(IngestPhotos.of(source(path), listing, listing.parts[0]).process(iter(())))


def test_a_change_while_frames_are_read_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "a.mp4", 40)
    age(monkeypatch)
    listing = list_source(source(path), HubAccess(), 256)
    outputs = IngestPhotos.of(source(path), listing, listing.parts[0]).process(iter(()))
    assert next(outputs).kept.num_rows == 32
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(SourceError, match="have changed since they were listed"):
        next(outputs)


def test_parts_share_one_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video, drawings = film(tmp_path / "a.mp4", 20), film(tmp_path / "b.mkv", 20, codec="ffv1")
    age(monkeypatch)
    read: list[Path] = []

    def counted(path: Path) -> video_frames.Scan:
        read.append(path)
        return scan(path)

    monkeypatch.setattr(video_frames, "scanned", counted)
    listing, kept, _ = ingest(source(video, drawings), part_rows=4)
    assert (len(listing.parts), len(kept), read) == (5, 20, [video, drawings])


def test_decoder_builds_are_part_of_the_key(tmp_path: Path) -> None:
    listing = list_source(source(film(tmp_path / "a.mp4", 10)), HubAccess(), 256)
    stage = IngestPhotos.of(source(tmp_path / "a.mp4"), listing, listing.parts[0])
    assert set(stage.execution()) == {"libavcodec", "opencv"}


@pytest.mark.real
def test_real_dance_with_drawings(real_data: Path) -> None:
    dance = real_data / "dance"
    video, drawings = dance / "xdyna_1_driving_8fps_noaudio.mp4", dance / "xdyna_1_openpose_8fps.mp4"
    wanted = source(video, drawings)
    listing = list_source(wanted, HubAccess(), 64)
    assert sum(part.rows for part in listing.parts) == 571
    (output, *_) = IngestPhotos.of(wanted, listing, listing.parts[2]).process(iter(()))
    with av.open(str(video)) as container:
        decoded = [
            frame.to_ndarray(format="bgr24") for frame, _ in zip(container.decode(video=0), range(192), strict=False)
        ]
    for number, row in enumerate(output.kept.to_pylist(), 128):
        assert row["image"]["bytes"] == encode_photo(decoded[number])
        picture = cv2.imdecode(np.frombuffer(row["image"]["bytes"], np.uint8), cv2.IMREAD_COLOR)
        assert cv2.PSNR(picture, decoded[number]) > 45


@pytest.mark.real
def test_real_bad_videos(real_data: Path) -> None:
    bad = real_data / "badinputs"
    _, kept, rejected = ingest(source(bad / "video_corrupted_stream.mp4"))
    assert [row["source_uri"].split("=")[1] for row in kept] == [str(number) for number in range(28)]
    assert {r.reason for r in rejected} == {Reason.VIDEO_UNREADABLE}
    assert len(rejected) == 22
    _, kept, (rejection,) = ingest(source(bad / "video_long_4k_av1_21766frames.mp4"))
    assert (kept, rejection.reason) == ([], Reason.VIDEO_BOMB)
    assert rejection.score == pytest.approx(159_553, abs=1)
    _, kept, (rejection,) = ingest(source(bad / "hevc_undecodable_183B.hevc"))
    assert (kept, rejection.reason) == ([], Reason.VIDEO_UNREADABLE)


@pytest.mark.real
@pytest.mark.slow
def test_real_videos_give_the_same_frames_in_parts(real_data: Path) -> None:
    names = (
        "dance/aist_d2m_high2_2s.mp4",
        "dance/mmhuman3d_multi_person.mp4",
        "badinputs/video_with_failing_audio.mp4",
    )
    for path in (real_data / name for name in names):
        video = scan(path)
        whole = [None if frame is None else frame.tobytes() for frame in frames(path, video, 0, video.frames)]
        assert None not in whole
        for first in range(0, video.frames, 23):
            part = frames(path, video, first, min(23, video.frames - first))
            assert [None if frame is None else frame.tobytes() for frame in part] == whole[first : first + 23]


def test_scans_in_a_child_tell_the_same(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 10)
    assert scanned(path) == scan(path)


@pytest.mark.slow
def test_a_video_that_does_not_survive_its_scan_is_one_rejection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / f"{MARK}.mp4", 50)
    monkeypatch.setattr(video_frames, "scanned", scanned)
    monkeypatch.setattr(video_frames, "scan_answer", deadly_scan)
    _, kept, (rejection,) = ingest(source(path))
    assert (kept, rejection.reason) == ([], Reason.DECODER_CRASHED)
    assert rejection.detail == f"{MARK}.mp4: the decoder died: SIGSEGV."


@pytest.mark.slow
def test_frames_that_kill_who_decodes_them_are_left_out(tmp_path: Path) -> None:
    path = film(tmp_path / f"{MARK}.mp4", 50, options={"g": "12"})
    listing = list_source(source(path), HubAccess(), 50)
    derivation = Derivation(IngestPhotos.of(source(path), listing, listing.parts[0]))
    store = Store(tmp_path / "store")
    assert realised(derivation, store) == -signal.SIGSEGV
    assert realised(derivation, store) == 0
    record = committed(derivation, store)
    assert record is not None
    crashed = record.rejected["decoder_crashed"]
    assert crashed == 25
    assert record.rows_kept == 25
    rows = pq.read_table(store.data_path(record), columns=["source_uri"])["source_uri"].to_pylist()
    deadly = set(range(round(SECONDS[0] * 25), round(SECONDS[1] * 25)))
    assert not deadly & {int(uri.partition("#frame=")[2]) for uri in rows}
