"""Every file of the collection of bad inputs has one right verdict."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.images.decode import MAX_PIXELS, DecodeError, decode, decode_rgb
from tasks.images.examine import examine
from tasks.images.hashing import phash
from tasks.images.isolate import Isolated
from tasks.schema.rejections import Reason

pytestmark = pytest.mark.real

VERDICTS: dict[str, tuple[int, int] | Reason] = {
    "exif_Landscape_3.jpg": (1800, 1200),
    "exif_Landscape_8.jpg": (1800, 1200),
    "exif_Portrait_6.jpg": (1200, 1800),
    "hevc_undecodable_183B.hevc": Reason.IMAGE_FORMAT_UNSUPPORTED,
    "pillow_apng_chunk_no_fdat.png": (128, 64),
    "pillow_apng_delay.png": (128, 64),
    "pillow_apng_mode_16bit.png": (128, 64),
    "pillow_avif_hopper.avif": (128, 128),
    "pillow_avif_hopper.heif": (128, 128),
    "pillow_broken.png": Reason.IMAGE_UNREADABLE,
    "pillow_broken_data_stream.png": Reason.IMAGE_UNREADABLE,
    "pillow_broken_exif_dpi.jpg": (100, 100),
    "pillow_chi.gif": (320, 240),
    "pillow_decompression_bomb.gif": Reason.IMAGE_BOMB,
    "pillow_decompression_bomb.ico": Reason.IMAGE_BOMB,
    "pillow_decompression_bomb_extents.gif": Reason.IMAGE_BOMB,  # its second frame is
    "pillow_hopper.gif": (128, 128),
    "pillow_hopper_16bit.pgm": (128, 128),
    "pillow_hopper_bad_exif.jpg": (500, 500),
    "pillow_hopper_gray.jpg": (128, 128),
    **{f"pillow_hopper_orientation_{n}.jpg": (128, 128) for n in range(2, 9)},
    "pillow_i_trns.png": (64, 64),
    "pillow_icc_profile_big.jpg": (425, 250),
    "pillow_invalid-exif.jpg": (200, 200),
    "pillow_iss634.webp": (245, 245),
    "pillow_lab.tif": (10, 10),
    "pillow_pil_sample_cmyk.jpg": (100, 100),
    "pillow_rgb_trns.png": (64, 64),
    "pillow_sugarshack.mpo": (640, 480),
    "pillow_sugarshack_bad_mpo_header.jpg": (640, 480),
    "pillow_tiff_16bit_RGB.tiff": (100, 40),
    "pillow_tiff_strip_cmyk_jpeg.tif": (100, 100),
    "pillow_truncated_app14.jpg": (100, 100),  # only the marker of that name is short, the picture is whole
    "pillow_truncated_end_chunk.png": Reason.IMAGE_TRUNCATED,  # ends inside a second IDAT, without IEND
    "pillow_truncated_image.png": Reason.IMAGE_TRUNCATED,
    "pillow_truncated_jpeg.jpg": Reason.IMAGE_TRUNCATED,
    "pillow_ultrahdr.jpg": Reason.IMAGE_TRUNCATED,  # headers of 1512 x 2688, not one byte of picture
    "pillow_zero_width.gif": Reason.IMAGE_EMPTY,
    "realesrgan_00017_gray.png": (500, 351),
    "realesrgan_children-alpha.png": (566, 350),
    "realesrgan_tree_alpha_16bit.png": (342, 256),
    "video_corrupted_stream.mp4": Reason.IMAGE_FORMAT_UNSUPPORTED,
    "video_long_4k_av1_21766frames.mp4": Reason.IMAGE_FORMAT_UNSUPPORTED,
    "video_with_failing_audio.mp4": Reason.IMAGE_FORMAT_UNSUPPORTED,
    "weights_lfs_pointer_Resnet50_Final.pth": Reason.IMAGE_FORMAT_UNSUPPORTED,
    "weights_truncated_yolov8n-pose.pt": Reason.IMAGE_FORMAT_UNSUPPORTED,
}
"""Width and height of the upright picture, or why there is none."""


@pytest.fixture(scope="module")
def folder(real_data: Path) -> Path:
    return real_data / "badinputs"


def verdict(answer: DecodeError | dict) -> tuple[int, int] | Reason:
    return answer.reason if isinstance(answer, DecodeError) else (answer["facts"]["width"], answer["facts"]["height"])


def test_every_file_gets_its_verdict(folder: Path) -> None:
    files = sorted(folder.iterdir())
    assert [f.name for f in files] == sorted(VERDICTS)
    with Isolated(examine, {"max_pixels": MAX_PIXELS}) as isolated:
        answers = isolated.map([f.read_bytes() for f in files])
    assert {f.name: verdict(a) for f, a in zip(files, answers, strict=True)} == VERDICTS


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_the_same_without_a_child(name: str, folder: Path) -> None:
    data = (folder / name).read_bytes()
    expected = VERDICTS[name]
    if isinstance(expected, Reason):
        with pytest.raises(DecodeError) as refused:
            decode(data)
        assert refused.value.reason is expected
    else:
        pixels, facts = decode(data)
        assert (facts.width, facts.height) == expected == pixels.shape[1::-1]


def read(folder: Path, name: str) -> NDArray[np.int16]:
    return decode_rgb((folder / name).read_bytes()).astype(np.int16)


def distance(a: NDArray[np.int16], b: NDArray[np.int16]) -> float:
    """Mean difference in grey levels."""
    return float(np.abs(a - b).mean())


def test_all_portraits_of_one_person_are_the_same_upright_picture(folder: Path) -> None:
    reference = read(folder, "pillow_hopper.gif")
    portraits = [f"pillow_hopper_orientation_{n}.jpg" for n in range(2, 9)]
    for name in (*portraits, "pillow_avif_hopper.avif", "pillow_avif_hopper.heif"):
        picture = read(folder, name)
        assert distance(picture, reference) < 9
        for turned in (picture[::-1], picture[:, ::-1], np.rot90(picture), np.rot90(picture, 2), np.rot90(picture, 3)):
            assert distance(turned, reference) > 40
        assert (phash(picture.astype(np.uint8)) ^ phash(reference.astype(np.uint8))).bit_count() <= 6
    grey = read(folder, "pillow_hopper_gray.jpg")
    assert distance(read(folder, "pillow_hopper_16bit.pgm"), grey) < 3


def test_landscapes_are_the_same_upright_picture(folder: Path) -> None:
    assert distance(read(folder, "exif_Landscape_3.jpg"), read(folder, "exif_Landscape_8.jpg")) < 4


def test_cmyk_red_is_red_on_black(folder: Path) -> None:
    names = ("pillow_pil_sample_cmyk.jpg", "pillow_tiff_strip_cmyk_jpeg.tif", "pillow_truncated_app14.jpg")
    for name in names:
        picture = read(folder, name)
        red = picture[2, 8]
        assert red[0] > 200
        assert red[1:].max() < 60
        assert np.median(picture) < 10
        assert distance(picture, read(folder, names[0])) < 6


def test_sixteen_bits_keep_their_tones(folder: Path) -> None:
    for name in ("pillow_hopper_16bit.pgm", "realesrgan_tree_alpha_16bit.png", "pillow_tiff_16bit_RGB.tiff"):
        picture = read(folder, name)
        assert 15 < picture.mean() < 200
        assert picture.std() > 15
        assert len(np.unique(picture)) > 100


def test_what_is_transparent_is_white(folder: Path) -> None:
    for name in ("realesrgan_children-alpha.png", "realesrgan_tree_alpha_16bit.png"):
        picture = read(folder, name)
        assert (picture[:8, :8] == 255).all()
        assert (picture.min(axis=2) < 100).mean() > 0.15
    assert (read(folder, "pillow_rgb_trns.png")[32, 32] == 255).all()
    sixteen_bit = read(folder, "pillow_i_trns.png")  # holds 0 to 255 of 65,535: black, but for the transparent 255
    assert set(np.unique(sixteen_bit)) == {0, 1, 255}


def test_the_first_picture_of_many(folder: Path) -> None:
    whole, bad_header = read(folder, "pillow_sugarshack.mpo"), read(folder, "pillow_sugarshack_bad_mpo_header.jpg")
    np.testing.assert_array_equal(whole, bad_header)
    np.testing.assert_array_equal(read(folder, "pillow_apng_delay.png")[0, 0], [255, 0, 0])


def test_lab_white_is_white(folder: Path) -> None:
    assert read(folder, "pillow_lab.tif").min() >= 253


def test_a_profile_in_many_segments_is_applied(folder: Path) -> None:
    sky = read(folder, "pillow_icc_profile_big.jpg")[10].mean(axis=0)
    assert sky[2] > sky[1] > sky[0]
