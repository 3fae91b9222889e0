"""Crops are what ffmpeg makes of the whole frame; thumbnails are like them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tasks.schema.films import Film, Transfer
from tasks.video.convert import Converter
from tests.video.reference_chain import (
    EXACT,
    TO_709,
    TO_RGB,
    WIDE_TO_RGB,
    film_of,
    noise_frame,
    psnr,
    reference,
    tags,
)

WIDTH, HEIGHT = 480, 272
HDR = {"primaries": "bt2020", "matrix": "bt2020nc"}


def pq_film(frame: av.VideoFrame) -> Film:
    return film_of(frame, Transfer.PQ, primaries="bt2020", matrix="bt2020nc")


@pytest.mark.parametrize("scaled", [(240, 136), (320, 180), (480, 272), (431, 272), (600, 340)], ids=str)
def test_pq_crop_is_the_chain_of_the_whole_frame(scaled: tuple[int, int]) -> None:
    frame = noise_frame("yuv420p10le", WIDTH, HEIGHT)
    film = pq_film(frame)
    whole = reference(frame, tags(film), TO_709, *_scale(scaled, (WIDTH, HEIGHT)))
    converter = Converter(film)
    for box in ((0, 0, *scaled), (33, 21, 190, 130), (scaled[0] - 101, scaled[1] - 51, *scaled)):
        left, top, right, bottom = box
        assert psnr(converter.crop(frame, scaled, box), whole[top:bottom, left:right]) > 55


@pytest.mark.parametrize(
    ("pixel_format", "transfer", "colours", "full_range", "chroma_location", "chain"),
    [
        ("yuv420p10le", Transfer.HLG, HDR, False, "left", TO_709),
        ("yuv420p10le", Transfer.PQ, HDR, False, "topleft", TO_709),
        ("yuv422p10le", Transfer.PQ, HDR, False, "left", TO_709),
        ("yuv444p12le", Transfer.PQ, HDR, True, "left", TO_709),
        ("p010le", Transfer.PQ, HDR, False, "left", TO_709),
        ("yuv420p10le", Transfer.SDR, HDR, False, "topleft", WIDE_TO_RGB),
        ("yuv420p", Transfer.SDR, {}, False, "left", TO_RGB),
        ("yuv420p", Transfer.SDR, {"matrix": "smpte170m", "primaries": "smpte170m"}, False, "center", TO_RGB),
        ("yuvj420p", Transfer.SDR, {"matrix": "bt470bg"}, True, "left", TO_RGB),
        ("nv12", Transfer.SDR, {}, False, "left", TO_RGB),
    ],
)
def test_kinds_of_films(
    pixel_format: str,
    transfer: Transfer,
    colours: dict[str, str],
    full_range: bool,
    chroma_location: str,
    chain: str,
) -> None:
    frame = noise_frame(pixel_format, WIDTH, HEIGHT, brightest=0.7 if transfer is Transfer.PQ else 0.95)
    film = film_of(frame, transfer, full_range=full_range, **colours)  # type: ignore[arg-type]
    whole = reference(frame, tags(film, chroma_location), chain)
    crop = Converter(replace(film, chroma_location=chroma_location)).crop(frame, (WIDTH, HEIGHT), (31, 17, 331, 214))
    assert psnr(crop, whole[17:214, 31:331]) > 54


@pytest.mark.parametrize("scaled", [(240, 136), (301, 171), (480, 272)], ids=str)
def test_a_crop_is_the_same_region_of_a_larger_crop(scaled: tuple[int, int]) -> None:
    frame = noise_frame("yuv420p10le", WIDTH, HEIGHT)
    converter = Converter(pq_film(frame))
    whole = converter.crop(frame, scaled, (0, 0, *scaled))
    rng = np.random.default_rng(3)
    for _ in range(40):
        left, right = np.sort(rng.choice(scaled[0] + 1, 2, replace=False)).tolist()
        top, bottom = np.sort(rng.choice(scaled[1] + 1, 2, replace=False)).tolist()
        crop = converter.crop(frame, scaled, (left, top, right, bottom))
        assert np.array_equal(crop, whole[top:bottom, left:right])


def test_threads_make_the_same_pictures() -> None:
    frame = noise_frame("yuv420p10le", WIDTH, HEIGHT)
    converter = Converter(pq_film(frame))
    boxes = [(x, y, x + 100, y + 70) for x in range(0, 140, 20) for y in range(0, 60, 20)]
    alone = [converter.crop(frame, (240, 136), box) for box in boxes]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda box: converter.crop(frame, (240, 136), box), boxes))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_turned_films(rotation: int) -> None:
    frame = noise_frame("yuv420p", WIDTH, HEIGHT)
    upright = {90: "transpose=clock", 180: "hflip,vflip", 270: "transpose=cclock"}[rotation]
    film = film_of(frame, rotation=rotation)
    scaled = (240, 136) if rotation == 180 else (136, 240)
    whole = reference(frame, tags(film), TO_RGB, upright, *_scale(scaled, (film.width, film.height)))
    converter = Converter(film)
    crop = converter.crop(frame, scaled, (7, 20, 120, 99))
    assert crop.shape == (79, 113, 3)
    assert psnr(crop, whole[20:99, 7:120]) > 55
    assert converter.thumbnail(frame).shape == ((91, 160, 3) if rotation == 180 else (160, 91, 3))


def test_pixels_that_are_not_square() -> None:
    frame = noise_frame("yuv420p", 360, 288)
    film = film_of(frame, matrix="bt470bg", size=(512, 288))
    whole = reference(frame, tags(film), TO_RGB, f"scale=256:144:flags={EXACT}")
    assert psnr(Converter(film).crop(frame, (256, 144), (50, 10, 250, 140)), whole[10:140, 50:250]) > 55
    whole = reference(frame, tags(film), TO_RGB, f"scale=512:288:flags={EXACT}")
    assert psnr(Converter(film).crop(frame, (512, 288), (99, 10, 350, 210)), whole[10:210, 99:350]) > 55


def test_odd_sizes() -> None:
    """As an even frame that holds one more row and column."""
    even = noise_frame("yuv420p", 428, 240)
    odd = av.VideoFrame(427, 239, "yuv420p")
    for target, source in zip(odd.planes, even.planes, strict=True):
        rows = np.frombuffer(source, np.uint8).reshape(-1, source.line_size)
        room = np.zeros((target.height, target.line_size), np.uint8)
        room[:, : target.width] = rows[: target.height, : target.width]
        target.update(room.tobytes())
    small, large = Converter(film_of(odd)), Converter(film_of(even))
    box = (201, 101, 426, 238)
    assert np.array_equal(small.crop(odd, (427, 239), box), large.crop(even, (428, 240), box))
    assert small.crop(odd, (427, 239), (0, 0, 427, 239)).shape == (239, 427, 3)
    assert small.crop(odd, (213, 119), (100, 60, 213, 119)).shape == (59, 113, 3)


@pytest.mark.parametrize("pixel_format", ["yuv420p10be", "yuv411p", "gbrp"])
def test_rare_formats(pixel_format: str) -> None:
    frame = noise_frame(pixel_format, WIDTH, HEIGHT)
    converter = Converter(film_of(frame))
    crop = converter.crop(frame, (240, 136), (20, 20, 180, 120))
    flags = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
    whole = reference(frame, f"scale=in_color_matrix=bt709:{flags},format=gbrp", f"scale=240:136:flags={EXACT}")
    assert psnr(crop, whole[20:120, 20:180]) > 45
    assert converter.thumbnail(frame).shape == (91, 160, 3)


@pytest.mark.parametrize(("pixel_format", "colour"), [("gray", "yuv420p"), ("gray10le", "yuv420p10le")])
def test_grey_films(pixel_format: str, colour: str) -> None:
    """As films with colours that have none; their range is the film's (swscale takes all grey as full range)."""
    grey, neutral = noise_frame(pixel_format, WIDTH, HEIGHT), noise_frame(colour, WIDTH, HEIGHT)
    for plane in neutral.planes[1:]:
        size = plane.buffer_size
        plane.update(b"\x80" * size if colour == "yuv420p" else b"\x00\x02" * (size // 2))
    box = (20, 20, 180, 120)
    crop = Converter(film_of(grey)).crop(grey, (240, 136), box)
    assert np.array_equal(crop, Converter(film_of(neutral)).crop(neutral, (240, 136), box))
    assert Converter(film_of(grey)).thumbnail(grey).shape == (91, 160, 3)


def test_untagged_films() -> None:
    """BT.2020 for HDR, BT.709 for large pictures, BT.601 for small ones."""
    small, large = noise_frame("yuv420p", 320, 180), noise_frame("yuv420p", 1280, 64)
    deep = noise_frame("yuv420p10le", 320, 180)
    for frame, transfer, matrix in (
        (small, Transfer.SDR, "smpte170m"),
        (large, Transfer.SDR, "bt709"),
        (deep, Transfer.HLG, "bt2020nc"),
    ):
        box = (0, 0, frame.width, frame.height)
        untagged = Converter(film_of(frame, transfer, primaries="unknown", matrix="unknown"))
        primaries = "bt2020" if transfer is Transfer.HLG else "bt709"
        tagged = Converter(film_of(frame, transfer, primaries=primaries, matrix=matrix))
        assert np.array_equal(untagged.crop(frame, box[2:], box), tagged.crop(frame, box[2:], box))


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "yuv420p"])
def test_thumbnails_show_the_content(pixel_format: str) -> None:
    frame = noise_frame(pixel_format, 1280, 720)
    content = (0, 90, 1280, 630)
    film = film_of(frame, Transfer.PQ if "10" in pixel_format else Transfer.SDR, content=content)
    converter = Converter(film)
    thumbnail = converter.thumbnail(frame)
    assert thumbnail.shape == (68, 160, 3)
    shrunk = cv2.resize(converter.crop(frame, (1280, 720), content), (160, 68), interpolation=cv2.INTER_AREA)
    assert np.abs(thumbnail.astype(int) - shrunk).mean() < 4


def test_small_pictures_have_thumbnails() -> None:
    frame = noise_frame("yuv420p", 64, 36)
    assert Converter(film_of(frame)).thumbnail(frame).shape == (36, 64, 3)


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (5, 5, 4, 9), (-1, 0, 5, 5), (0, 0, 241, 5), (0, 100, 5, 137)], ids=str)
def test_patches_beyond_the_picture_are_refused(box: tuple[int, int, int, int]) -> None:
    frame = noise_frame("yuv420p", WIDTH, HEIGHT)
    with pytest.raises(ValueError, match="240x136"):
        Converter(film_of(frame)).crop(frame, (240, 136), box)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "transfer", "colours", "scales"),
    [
        ("hdr10plus_pq_hevc10_2160p_1frame.hevc", Transfer.PQ, HDR, [(1920, 1080), (1936, 1089), (3840, 2160)]),
        ("hdr10_pq_hevc10_1080p_no-colr-box.mp4", Transfer.PQ, HDR, [(1280, 720), (1920, 1080)]),
        ("hdr10_pq_av1_1080p_mdcv_clli.mp4", Transfer.PQ, HDR, [(960, 540), (1920, 1080)]),
        ("hdr10_pq_av1_720x1280_4s.mp4", Transfer.PQ, HDR, [(720, 1280), (600, 1067)]),
        ("hlg_hevc10_1080p_colorchart.mp4", Transfer.HLG, HDR, [(960, 540), (1920, 1080)]),
        ("bigbuckbunny_720p_5s.mp4", Transfer.SDR, {}, [(1280, 720), (854, 480)]),
        ("sintel_480p_30s_cuts.mp4", Transfer.SDR, {"matrix": "smpte170m"}, [(854, 480), (427, 240)]),
        ("uhd_sdr_h264_3840x2160_rotated.mp4", Transfer.SDR, {"matrix": "bt470bg"}, [(1080, 1920), (2160, 3840)]),
    ],
)
def test_real_films(
    real_data: Path, name: str, transfer: Transfer, colours: dict[str, str], scales: list[tuple[int, int]]
) -> None:
    with av.open(str(real_data / "film" / name)) as container:
        frame = next(
            frame for n, frame in enumerate(container.decode(video=0)) if n in (5, 0) and (n or "1frame" in name)
        )
    turned = "rotated" in name
    film = film_of(frame, transfer, full_range="yuvj" in frame.format.name, rotation=90 if turned else 0, **colours)  # type: ignore[arg-type]
    chain = TO_RGB if transfer is Transfer.SDR else TO_709
    upright = ["transpose=clock"] if turned else []
    converter = Converter(film)
    for scaled in scales:
        whole = reference(frame, tags(film), chain, *upright, *_scale(scaled, (film.width, film.height)))
        left, top = scaled[0] // 3, scaled[1] // 3
        for box in ((left, top, min(left + 540, scaled[0]), min(top + 540, scaled[1])), (0, 0, *scaled)):
            assert psnr(converter.crop(frame, scaled, box), whole[box[1] : box[3], box[0] : box[2]]) > 55


def _scale(scaled: tuple[int, int], size: tuple[int, int]) -> list[str]:
    return [] if scaled == size else [f"scale={scaled[0]}:{scaled[1]}:flags={EXACT}"]
