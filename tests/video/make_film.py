"""Small films with real encoders and known content, for tests and benchmarks.

What moves, cuts, fades and flashes is generated with numpy from a seed; ffmpeg encodes it. The same arguments give the
same pictures; the same bytes only with the same ffmpeg.
"""

import subprocess
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.video.ffmpeg import ffmpeg_exe

Transfer = Literal["sdr", "pq", "hlg"]
Codec = Literal["h264", "hevc", "av1", "mpeg2", "mpeg4", "vp9", "prores", "ffv1"]
Kind = Literal["moving", "static", "black", "flat", "soft", "grain", "fade_in", "fade_out", "flash"]
Planes = tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int16]]

TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]], np.float32)
"""Linear BT.709 to linear BT.2020. Source: BT.2087."""
LUMA = {"sdr": (0.2126, 0.0722), "pq": (0.2627, 0.0593), "hlg": (0.2627, 0.0593)}
"""Kr and Kb. Source: BT.709, BT.2020."""
TAGS = {
    "sdr": ("bt709", "bt709", "bt709"),
    "pq": ("bt2020", "smpte2084", "bt2020nc"),
    "hlg": ("bt2020", "arib-std-b67", "bt2020nc"),
}
"""Primaries, transfer, matrix as ffmpeg calls them."""
PEAK_NITS = {"pq": 600.0, "hlg": 600.0}
"""Light of the brightest pixel, so that highlights lie well above the white of an SDR display."""


@dataclass(frozen=True)
class Scene:
    """One shot. `soft` is out of focus, `grain` nothing but grain on grey, `flash` brightens 3 frames in its middle.

    `speed` is how far the background moves in pixels a frame, `level` the brightness, 1 as it is.
    """

    kind: Kind = "moving"
    frames: int = 48
    seed: int = 0
    speed: int = 4
    level: float = 1.0


def cut_frames(scenes: Sequence[Scene]) -> list[int]:
    """The numbers of the first frames after each cut."""
    return [int(n) for n in np.cumsum([s.frames for s in scenes])[:-1]]


def make_film(
    path: Path,
    *,
    width: int = 320,
    height: int = 180,
    frames: int = 48,
    fps: Fraction | float = 24,
    codec: Codec | None = None,
    transfer: Transfer = "sdr",
    scenes: Sequence[Scene] | None = None,
    gop: tuple[int, int] = (36, 250),
    grain: float = 0.0,
    crf: int | None = None,
    bitrate: str | None = None,
    preset: str | None = None,
    letterbox: tuple[int, int] = (0, 0),
    rotation: int = 0,
    interlaced: bool = False,
    dropped: Collection[int] = (),
    pix_fmt: str | None = None,
    codec_options: str = "",
    extra: Sequence[str] = (),
    tags: tuple[str, str, str] | None = None,
    seed: int = 0,
) -> Path:
    """Encode a film and return its path; the suffix chooses the container.

    Args:
        path: where to; an existing file is replaced.
        width: of the encoded picture, even.
        height: of the encoded picture, even, black bars included.
        frames: how many, where no `scenes` are given: then one moving shot.
        fps: frames a second (for interlaced films: pairs of fields).
        codec: by default h264 for SDR and hevc for HDR.
        transfer: SDR in BT.709 with 8 bit; PQ and HLG in BT.2020 with 10 bit.
        scenes: shots one after the other, a hard cut between.
        gop: least and largest distance of key frames; the encoder also puts one at a cut, where it can.
        grain: standard deviation of the noise on luma, in 8-bit steps.
        crf: quality; the encoder's default where neither this nor `bitrate` is given (then for speed: bad, small).
        bitrate: as ffmpeg writes it, "40M".
        preset: of x264, x265, SVT-AV1; fast ones by default.
        letterbox: rows of black at the top and at the bottom, even.
        rotation: tag for the player, degrees clockwise; the stored pixels stay as they are.
        interlaced: two fields a frame, top first, each at its own time.
        dropped: numbers of frames to leave out, so that their gaps are longer (a film of variable frame rate).
        pix_fmt: instead of 4:2:0 with 8 or 10 bit.
        codec_options: further x264/x265 parameters, `a=b:c=d`.
        extra: further options of the output.
        tags: primaries, transfer and matrix to claim instead of the true ones ("unknown" is possible).
        seed: of the content.
    """
    codec = codec or ("h264" if transfer == "sdr" else "hevc")
    scenes = scenes or [Scene(frames=frames, seed=seed)]
    rate = Fraction(fps).limit_denominator(1001)
    bits = 8 if transfer == "sdr" else 10
    raw = "yuv420p" if bits == 8 else "yuv420p10le"
    fields = 2 if interlaced else 1
    filters = ["tinterlace=mode=interleave_top", "setfield=tff"] if interlaced else []
    if dropped:
        filters.append("select='not(" + "+".join(f"eq(n,{n})" for n in sorted(dropped)) + ")'")
    primaries, trc, matrix = tags or TAGS[transfer]
    filters.append(f"setparams=color_primaries={primaries}:color_trc={trc}:colorspace={matrix}:range=tv")
    upright = path.with_name(f"{path.stem}.upright{path.suffix}") if rotation else path
    command = [
        *(str(ffmpeg_exe()), "-hide_banner", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", raw),
        *("-video_size", f"{width}x{height}", "-framerate", str(rate * fields), "-i", "-"),
        *("-vf", ",".join(filters), "-an", "-fps_mode", "passthrough", "-pix_fmt", pix_fmt or raw),
        *_encoder(codec, gop, crf, bitrate, preset, codec_options, (primaries, trc, matrix), interlaced),
        *extra,
        str(upright),
    ]
    pictures = _pictures(scenes, width, height, transfer, grain, letterbox, fields)
    _encode(command, pictures)
    if rotation:
        turned = ["-display_rotation:v:0", str(-rotation), "-i", str(upright), "-c", "copy", str(path)]
        subprocess.run([str(ffmpeg_exe()), "-loglevel", "error", "-y", *turned], check=True, timeout=60)
        upright.unlink()
    return path


def _encode(command: Sequence[str], pictures: Iterator[bytes]) -> None:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as ffmpeg:
        assert ffmpeg.stdin
        assert ffmpeg.stderr
        try:
            for picture in pictures:
                ffmpeg.stdin.write(picture)
            ffmpeg.stdin.close()
        except BrokenPipeError:
            pass
        said = ffmpeg.stderr.read().decode(errors="replace")
    if ffmpeg.returncode:
        raise RuntimeError(f"ffmpeg ended with {ffmpeg.returncode}: {said}\n{' '.join(command)}")


def _encoder(
    codec: Codec,
    gop: tuple[int, int],
    crf: int | None,
    bitrate: str | None,
    preset: str | None,
    options: str,
    tags: tuple[str, str, str],
    interlaced: bool,
) -> list[str]:
    """Options of one encoder."""
    least, largest = gop
    rate = ["-b:v", bitrate] if bitrate else []
    quality = [] if bitrate else ["-crf", str(28 if crf is None else crf)]
    keys = ["-g", str(largest), "-keyint_min", str(least)]
    fields = ["-flags", "+ildct+ilme"] if interlaced else []
    match codec:
        case "h264":
            options = ":".join(filter(None, ["tff=1" if interlaced else "", options]))
            given = ["-x264-params", options] if options else []
            return ["-c:v", "libx264", "-preset", preset or "veryfast", *keys, *rate, *quality, *fields, *given]
        case "hevc":
            colours = "colorprim={}:transfer={}:colormatrix={}:range=limited".format(*tags)
            colours = "" if "unknown" in tags else colours
            all_options = [f"keyint={largest}", f"min-keyint={least}", "log-level=error", colours, options]
            given = ["-x265-params", ":".join(filter(None, all_options))]
            return ["-c:v", "libx265", "-preset", preset or "ultrafast", "-tag:v", "hvc1", *rate, *quality, *given]
        case "av1":
            return ["-c:v", "libsvtav1", "-preset", preset or "12", "-g", str(largest), *rate, *quality]
        case "vp9":
            fast = ["-deadline", "realtime", "-cpu-used", "8"]
            return ["-c:v", "libvpx-vp9", *fast, *keys, *(rate or ["-b:v", "0", *quality])]
        case "mpeg2" | "mpeg4":
            name = "mpeg2video" if codec == "mpeg2" else "mpeg4"
            return ["-c:v", name, "-bf", "2", "-g", str(min(largest, 600)), *(rate or ["-q:v", "4"]), *fields]
        case "prores":
            return ["-c:v", "prores_ks", *fields]
        case "ffv1":
            return ["-c:v", "ffv1", "-g", str(largest)]


def _pictures(
    scenes: Sequence[Scene],
    width: int,
    height: int,
    transfer: Transfer,
    grain: float,
    letterbox: tuple[int, int],
    fields: int,
) -> Iterator[bytes]:
    """Raw planes of every frame (of every field's time, for interlaced films)."""
    bits = 8 if transfer == "sdr" else 10
    step = 1 << (bits - 8)
    dtype = np.uint8 if bits == 8 else np.uint16
    top, bottom = letterbox
    rng = np.random.default_rng(99)
    noise = _noise((height + 64, width + 64), grain * step, rng)
    strong = _noise((height + 64, width + 64), 6 * step, rng)
    for scene in scenes:
        stage = _Stage(scene, width, height, transfer, fields)
        for n in range(scene.frames * fields):
            luma, cb, cr = stage.frame(n)
            if grain or scene.kind == "grain":
                dy, dx = rng.integers(0, 64, 2)
                field = strong if scene.kind == "grain" else noise
                luma = luma + field[dy : dy + height, dx : dx + width]
                np.clip(luma, 0, (256 << (bits - 8)) - 1, out=luma)
            planes = [p.astype(dtype) for p in (luma, cb, cr)]
            for plane, black, part in zip(planes, (16, 128, 128), (1, 2, 2), strict=True):
                plane[: top // part] = black * step
                plane[plane.shape[0] - bottom // part :] = black * step
            yield b"".join(p.tobytes() for p in planes)


class _Stage:
    """What a shot shows at each of its moments, as 4:2:0 code values."""

    def __init__(self, scene: Scene, width: int, height: int, transfer: Transfer, fields: int) -> None:
        self.scene, self.width, self.height, self.fields = scene, width, height, fields
        self.moves = scene.kind in ("moving", "soft", "fade_in", "fade_out", "flash") and scene.speed > 0
        rng = np.random.default_rng(scene.seed + 1)
        self.margin = 2 * max(32, min(width, height) // 8)
        picture: NDArray[np.float32] = _texture(width + self.margin, height + self.margin, rng)
        if scene.kind in ("flat", "grain"):
            picture = np.full_like(picture, 0.45)
        elif scene.kind == "soft":
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), max(width, height) / 60), np.float32)
        elif scene.kind == "black":
            picture = np.zeros_like(picture)
        self.step = 1 if transfer == "sdr" else 4
        self.background = _planes(np.clip(picture * scene.level, 0, 1), transfer)
        self.size = 2 * max(8, min(width, height) // 6)
        self.sprite = _planes(_texture(self.size, self.size, rng), transfer)

    def frame(self, n: int) -> Planes:
        scene = self.scene
        shift = 2 * round(n * scene.speed / self.fields / 2) if self.moves else 0
        dx, dy = _bounce(shift, self.margin), _bounce(shift // 4 * 2, self.margin)
        planes = [
            plane[dy // part : (dy + self.height) // part, dx // part : (dx + self.width) // part].copy()
            for plane, part in zip(self.background, (1, 2, 2), strict=True)
        ]
        if scene.kind in ("moving", "static", "fade_in", "fade_out", "flash"):
            x = _bounce(2 * shift + scene.seed * 38, self.width - self.size)
            y = _bounce(shift + scene.seed * 54, self.height - self.size)
            for plane, sprite, part in zip(planes, self.sprite, (1, 2, 2), strict=True):
                plane[y // part : (y + self.size) // part, x // part : (x + self.size) // part] = sprite
        gain = self._gain(n / self.fields)
        if gain != 1:
            black = (16 * self.step, 128 * self.step, 128 * self.step)
            faded = [b + (p - b) * np.float32(gain) for p, b in zip(planes, black, strict=True)]
            planes = [np.clip(np.rint(p), 16 * self.step, 235 * self.step).astype(np.int16) for p in faded]
        return planes[0], planes[1], planes[2]

    def _gain(self, n: float) -> float:
        scene = self.scene
        if scene.kind == "fade_in":
            return n / max(1, scene.frames - 1)
        if scene.kind == "fade_out":
            return max(0.0, 1 - n / max(1, scene.frames - 1))
        if scene.kind == "flash":
            return 2.5 if scene.frames // 2 <= n < scene.frames // 2 + 3 else 1.0
        return 1.0


def _bounce(distance: int, room: int) -> int:
    """A position that runs to and fro between 0 and `room`, even."""
    room = max(2, room // 2 * 2)
    turn = distance % (2 * room)
    return min(turn, 2 * room - turn) // 2 * 2


def _noise(shape: tuple[int, int], deviation: float, rng: np.random.Generator) -> NDArray[np.int16]:
    noise: NDArray[np.int16] = np.rint(rng.standard_normal(shape, np.float32) * np.float32(deviation)).astype(np.int16)
    return noise


def _texture(width: int, height: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Colourful display values (h, w, 3), 0 to 1: noise of all sizes, with straight edges on it."""
    picture = np.full((height, width, 3), 0.4, np.float32)
    cells = 3
    while cells < min(width, height) / 2:
        shape = (cells, max(2, cells * width // height))
        small = rng.standard_normal((*shape, 1), dtype=np.float32) + 0.5 * rng.standard_normal((*shape, 3), np.float32)
        picture += cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC) * np.float32(0.35 / cells**0.45)
        cells *= 2
    for _ in range(40):
        x, y = rng.integers(0, width), rng.integers(0, height)
        w, h = rng.integers(4, max(5, width // 6)), rng.integers(4, max(5, height // 6))
        colour = tuple(float(c) for c in rng.uniform(0, 1, 3))
        cv2.rectangle(picture, (int(x), int(y)), (int(x + w), int(y + h)), colour, int(rng.choice([-1, 1, 2])))
    return np.clip(picture, 0, 1)


def _planes(display: NDArray[np.float32], transfer: Transfer) -> Planes:
    """Code values of limited range; chroma halved in both directions."""
    signal = display if transfer == "sdr" else _hdr_signal(display, transfer)
    kr, kb = LUMA[transfer]
    step = np.float32(1 if transfer == "sdr" else 4)
    red, green, blue = (signal[..., c] for c in range(3))
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    half = (display.shape[1] // 2, display.shape[0] // 2)
    small = [cv2.resize(c, half, interpolation=cv2.INTER_AREA) for c in (cb, cr)]
    codes = [(luma * 219 + 16) * step, *((c * 224 + 128) * step for c in small)]
    y, u, v = (np.rint(each).astype(np.int16) for each in codes)
    return y, u, v


def _hdr_signal(display: NDArray[np.float32], transfer: Transfer) -> NDArray[np.float32]:
    """Display values of an SDR picture, stretched to `PEAK_NITS`, as PQ or HLG signal in BT.2020."""
    light = np.maximum(np.power(display, 2.4) @ TO_2020.T, 0) * np.float32(PEAK_NITS[transfer])
    if transfer == "pq":  # SMPTE ST 2084
        powered = np.power(light / 10000, 0.1593017578125)
        return np.power((0.8359375 + 18.8515625 * powered) / (1 + 18.6875 * powered), 78.84375).astype(np.float32)
    scene = np.power(light / 1000, 1 / 1.2)  # BT.2100, a display of 1000 nits, the gamma taken for each channel
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-6)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high).astype(np.float32)
