"""Frames of a video as photos, with the frames of a second video as their OpenPose drawings."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.images.decode import DecodeError
from tasks.images.isolate import Isolated, fatal
from tasks.ingest.remembered import Remembered, Stamp, Watch
from tasks.ingest.rows import Encoded, IngestConfig, Problem, SourceRow, file_digest
from tasks.schema.errors import SourceError
from tasks.schema.rejections import Reason
from tasks.schema.sources import PhotoSource, SourceListing, SourcePart
from tasks.shards.watchdog import alive
from tasks.video.container import OPTIONS
from tasks.video.ffmpeg import file_argument

if TYPE_CHECKING:
    import av

SCHEME = "video://"

BOMB_PIXELS = 2_000_000_000
"""Videos that decode to fewer pixels in all (16 minutes of 1080p at 1 frame a second) are never called bombs."""

BOMB_PIXELS_PER_BYTE = 20_000
"""More pixels for each byte of the file than any camera gives. Measured: 17 films and dance videos 22 to 489, a damaged
test card 974, a 1.1 MB file of 21,766 4K frames 159,553."""

MAX_FRAME_PIXELS = 8192 * 8192

JPEG_QUALITY = 95
"""Photos, with full colour resolution: 50 dB against the decoded frame, a quarter of PNG's bytes and time
(512x896 dance video: 68 KB and 6 ms; PNG 276 KB and 22 ms). Drawings become PNG: their colours carry the meaning."""

SEEK_MARGIN = 32
"""Frames: twice the most that H.264 and HEVC reorder, so that no wanted frame leans on one before the key frame."""


TRIAL_FRAMES = 32
"""Frames that are left out together where decoding them is deadly."""
TRIAL_S = 300.0
"""For one child process to read all packets of a video, or to decode a part of it."""


@dataclass(frozen=True)
class Scan:
    """What the packets of a video promise: frames in display order by timestamp (empty: they carry none)."""

    frames: int
    width: int
    height: int
    timestamps: tuple[int, ...] = ()
    problem: Problem | None = None


def list_video(source: PhotoSource, part_rows: int) -> SourceListing:
    """The parts of a video by its packets; nothing is decoded. A video that cannot be used is one row with a problem.

    Raises:
        SourceError: a file is not there, or the drawings are not frame for frame.
    """
    path = video_file(source.location)
    drawings = video_file(source.conditioning_location) if source.conditioning_location else None
    looks = [_look(file, anew=True) for file in (path, drawings) if file]
    video = looks[0].scan
    if drawings is not None and video.problem is None:
        drawn = looks[1].scan
        if drawn.problem is not None:
            raise SourceError(f"The drawings {drawings} cannot be used: {drawn.problem.detail}")
        if drawn.frames != video.frames:
            raise SourceError(
                f"{drawings} has {drawn.frames} frames and {path} {video.frames}: drawings go frame for frame."
            )
    uri, digest = f"{SCHEME}{source.name}/{path.name}", _digest(looks)
    total = 1 if video.problem else video.frames
    parts = tuple(
        SourcePart(uri=uri, digest=digest, first_row=first, rows=min(part_rows, total - first))
        for first in range(0, total, part_rows)
    )
    return SourceListing(revision="", parts=parts, columns=("image", "conditioning") if drawings else ("image",))


def video_part(
    config: IngestConfig, location: str, conditioning_location: str, *, careful: bool = False
) -> Iterator[SourceRow]:
    """One row for each of the part's frames; those that do not decode are rows with a problem.

    `careful`: child processes decode them first (see `survived`).

    Raises:
        SourceError: a file is gone or has changed since it was listed.
    """
    part = config.part
    path = video_file(location)
    drawings = video_file(conditioning_location) if conditioning_location else None
    changed = SourceError(f"{path} or its drawings have changed since they were listed. List the source again.")
    files = [file for file in (path, drawings) if file]
    stamps = [Stamp.of(file) for file in files]
    looks = [_look(file) for file in files]
    if _digest(looks) != part.digest:
        raise changed
    video = looks[0].scan
    if video.problem is not None:
        yield SourceRow(path.name, part.uri, problem=video.problem)
        return
    videos = [(file, look.scan) for file, look in zip(files, looks, strict=True)]
    runs = survived(videos, part.first_row, part.rows) if careful else iter([(part.first_row, part.rows, None)])
    for first, count, problem in runs:
        yield from _rows(videos, part.uri, first, count, problem)
    if [Stamp.of(file) for file in files] != stamps and _digest([_look(file) for file in files]) != part.digest:
        raise changed


def _rows(
    videos: list[tuple[Path, Scan]], part_uri: str, first: int, count: int, problem: Problem | None
) -> Iterator[SourceRow]:
    """A row for each frame of a run; `videos`: the photos, and the drawings if there are any."""
    path, total = videos[0][0], videos[0][1].frames
    pictures = [(None for _ in range(count)) if problem else frames(*video, first, count) for video in videos]
    for number, (photo, *drawings) in enumerate(zip(*pictures, strict=True), first):
        locator, uri, stem = f"{path.name}#{number}", f"{part_uri}#frame={number}", f"{path.stem}_{number:06d}"
        if photo is None or any(drawing is None for drawing in drawings):
            which = "frame" if photo is None else "drawing"
            told = Problem(Reason.VIDEO_UNREADABLE, f"The {which} {number} of {total} does not decode.")
            yield SourceRow(locator, uri, problem=problem or told)
            continue
        images = {
            "image": Encoded(encode_photo(photo), f"{stem}.jpg"),
            "conditioning": Encoded(encode_drawing(drawings[0]), f"{stem}.png") if drawings else None,
        }
        yield SourceRow(locator, uri, images)


def survived(videos: list[tuple[Path, Scan]], first: int, count: int) -> Iterator[tuple[int, int, Problem | None]]:
    """Runs of frames in order: first, how many, and the problem where no child process survives decoding them.

    For videos that this process may have died of. A run that is deadly is halved down to `TRIAL_FRAMES`.
    """
    said = {"videos": [(str(path), asdict(video)) for path, video in videos], "first": first, "count": count}
    died = fatal(decode_run, said, TRIAL_S)
    if died is None:
        yield first, count, None
    elif count <= TRIAL_FRAMES:
        told = f"The frames {first} to {first + count - 1}, or what they refer to: {died.detail}."
        reason = Reason.VIDEO_BOMB if died.reason is Reason.IMAGE_BOMB else died.reason
        yield first, count, Problem(reason, told)
    else:
        yield from survived(videos, first, count // 2)
        yield from survived(videos, first + count // 2, count - count // 2)


def decode_run(_: bytes, videos: list[tuple[str, dict[str, Any]]], first: int, count: int) -> int:
    """Decode frames of videos in a child process: how many come."""
    import av

    with suppress(av.error.FFmpegError):
        return sum(
            frame is not None for path, video in videos for frame in frames(Path(path), Scan(**video), first, count)
        )
    return 0


def video_file(location: str) -> Path:
    """The file at an absolute location.

    Raises:
        SourceError: it is not absolute or not there.
    """
    path = Path(location)
    if not path.is_absolute():
        raise SourceError(f"{location!r} is not absolute: flows run in folders of their own. Give the whole path.")
    if not path.is_file():
        raise SourceError(f"There is no video {location}. Is it mounted on this machine?")
    return path


def open_video(path: Path) -> "av.container.InputContainer":
    """A local video in a container of pictures that move; playlists would make us read other files and addresses."""
    import av

    formats = f"{OPTIONS['format_whitelist']},gif,apng,wav,mp3,flac"
    options = {**OPTIONS, "format_whitelist": formats}
    return av.open(file_argument(path), metadata_errors="ignore", options=options)


def scanned(path: Path) -> Scan:
    """`scan` in a child process: what it does not survive is a problem of the video."""
    with Isolated(scan_answer, {}, TRIAL_S) as child:
        answer = child.map([b""], [{"path": str(path)}])[0]
    if isinstance(answer, DecodeError):
        reason = Reason.VIDEO_BOMB if answer.reason is Reason.IMAGE_BOMB else answer.reason
        return _unusable(reason, f"{path.name}: {answer.detail}.")
    problem = answer.pop("problem")
    if problem is not None:
        return _unusable(Reason(problem["reason"]), problem["detail"], problem["score"])
    return Scan(**answer | {"timestamps": tuple(answer["timestamps"])})


def scan_answer(_: bytes, path: str) -> dict[str, Any]:
    """`scan` as JSON."""
    return asdict(scan(Path(path)))


def scan(path: Path) -> Scan:
    """Read the packets of a video's first picture stream without decoding them."""
    import av

    try:
        with open_video(path) as container:
            stream = next(iter(container.streams.video), None)
            if stream is None:
                return _unusable(Reason.VIDEO_UNREADABLE, f"{path.name} has no pictures.")
            width, height = stream.codec_context.width, stream.codec_context.height
            packets = [packet.pts for packet in _packets(container, stream) if packet.size and not packet.is_discard]
    except av.error.FFmpegError as error:
        return _unusable(Reason.VIDEO_UNREADABLE, f"{path.name} does not open as a video: {error.strerror}.")
    if not packets or not width or not height:
        return _unusable(Reason.VIDEO_UNREADABLE, f"{path.name} says neither what size nor which frames it has.")
    pixels, size = len(packets) * width * height, path.stat().st_size
    told = f"{path.name} decodes to {len(packets):,} frames of {width}x{height} from {size:,} bytes"
    if width * height > MAX_FRAME_PIXELS:
        return _unusable(Reason.VIDEO_BOMB, f"{told}: larger than 8192x8192.", float(width * height))
    if pixels > max(BOMB_PIXELS, BOMB_PIXELS_PER_BYTE * size):
        score = pixels / size
        return _unusable(Reason.VIDEO_BOMB, f"{told}: {score:,.0f} pixels a byte, no camera gives that.", score)
    known = tuple(sorted(pts for pts in packets if pts is not None))
    timed = len(set(known)) == len(packets)
    return Scan(len(packets), width, height, known if timed else ())


def frames(path: Path, video: Scan, first: int, count: int) -> Iterator[NDArray[np.uint8] | None]:
    """Exactly `count` frames from `first` on in display order: BGR uint8 (H, W, 3), upright; None: does not decode.

    Decoding begins at a key frame before `first`, on one thread. From damage on, nothing is trusted until the next key
    frame: decoders go on and give smeared pictures. So the same frames fail however a video is cut into parts.
    """
    wanted = {pts: number for number, pts in enumerate(video.timestamps)}
    expected, stop = first, first + count
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        if wanted and first > SEEK_MARGIN:
            container.seek(video.timestamps[first - SEEK_MARGIN], stream=stream)
        for passed, frame in enumerate(_decoded(container, stream)):
            number = passed
            if wanted and frame is not None:
                number = wanted.get(frame.pts if frame.pts is not None else -1, -1)
            if frame is not None and expected <= number < stop:
                yield from (None for _ in range(number - expected))
                yield _upright(frame)
                expected = number + 1
            if number >= stop - 1:
                break
    yield from (None for _ in range(stop - expected))


def _packets(
    container: "av.container.InputContainer", stream: "av.VideoStream"
) -> Iterator["av.Packet[av.VideoStream]"]:
    """Packets until the file ends or its container is damaged; what came before counts."""
    import av

    try:
        yield from container.demux(stream)
    except av.error.FFmpegError:
        return


def _decoded(container: "av.container.InputContainer", stream: "av.VideoStream") -> Iterator["av.VideoFrame | None"]:
    """Frames in display order; None for one that came after damage and before the next key frame."""
    import av

    trusted = True
    for packet in _packets(container, stream):
        alive()
        try:
            decoded = packet.decode()
        except av.error.FFmpegError:
            trusted = False
            continue
        for frame in decoded:
            trusted = (trusted or frame.key_frame) and not frame.is_corrupt
            yield frame if trusted else None


def _upright(frame: "av.VideoFrame") -> NDArray[np.uint8]:
    pixels: Any = frame.to_ndarray(format="bgr24", threads=1)
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4))


def encode_photo(frame: NDArray[np.uint8]) -> bytes:
    """JPEG, quality 95, full colour resolution; frame: BGR uint8 (H, W, 3)."""
    import cv2

    full_colour = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return bytes(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, *full_colour])[1])


def encode_drawing(frame: NDArray[np.uint8]) -> bytes:
    """PNG as OpenCV packs it by default, at half the time of its level 1; frame: BGR uint8 (H, W, 3)."""
    import cv2

    return bytes(cv2.imencode(".png", frame)[1])


def decoder_build() -> dict[str, str]:
    """What else decides the bytes of frames."""
    import av
    import cv2

    version = ".".join(str(part) for part in av.library_versions["libavcodec"])
    return {"libavcodec": version, "opencv": cv2.__version__}


def _unusable(reason: Reason, detail: str, score: float | None = None) -> Scan:
    return Scan(0, 0, 0, problem=Problem(reason, detail, score))


@dataclass(frozen=True)
class _Look:
    """What one reading of a whole file tells."""

    digest: str
    scan: Scan


_LOOKS: Remembered[_Look] = Remembered()
"""By path; all parts of a video ask the same."""


def _look(path: Path, *, anew: bool = False) -> _Look:
    def read(watch: Watch) -> _Look:
        watch(path)
        return _Look(file_digest(path), scanned(path))

    look = _LOOKS.get(path, read, anew=anew)
    if look.scan.problem is not None:
        _LOOKS.forget(path)  # the file system may have failed, not the video
    return look


def _digest(looks: list[_Look]) -> str:
    return "-".join(look.digest for look in looks)
