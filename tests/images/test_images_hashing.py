import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.images.decode import decode_rgb
from tasks.images.hashing import MAX_DISTANCE, first_of_near_duplicates, hamming, phash
from tasks.images.sheet import encode_jpeg


def library_hash(rgb: np.ndarray) -> int:
    return int(str(imagehash.phash(Image.fromarray(rgb))), 16)


def plain(hashes: np.ndarray, max_distance: int) -> list[int]:
    """The rule, word for word."""
    kept: list[int] = []
    result = []
    for i, value in enumerate(hashes.tolist()):
        first = next((k for k in kept if (int(hashes[k]) ^ value).bit_count() <= max_distance), None)
        result.append(i if first is None else first)
        if first is None:
            kept.append(i)
    return result


@pytest.mark.parametrize("level", [0, 1, 127, 255])
def test_flat_pictures_hash_as_the_library_does(level: int) -> None:
    flat = np.full((50, 70, 3), level, np.uint8)
    assert phash(flat) == library_hash(flat)


def test_symmetric_and_noisy_pictures_hash_as_the_library_does(photo) -> None:
    random = np.random.default_rng(1)
    for size in ((1, 1), (1, 90), (8, 8), (31, 33), (200, 300)):
        noise = random.integers(0, 256, (*size, 3), np.uint8)
        mirrored = np.concatenate([noise, noise[:, ::-1]], axis=1)
        for picture in (noise, mirrored, np.concatenate([mirrored, mirrored[::-1]])):
            assert phash(picture) == library_hash(picture)
    assert phash(photo) == library_hash(photo)


@pytest.mark.real
def test_real_photos_hash_as_the_library_does(real_data) -> None:
    files = sorted((real_data / "people").rglob("*.jpg"))
    assert len(files) > 20
    for file in files:
        rgb = decode_rgb(file.read_bytes())
        assert phash(rgb) == library_hash(rgb), file


def test_near_pictures_are_near_and_others_far(photo) -> None:
    original = np.uint64(phash(photo))
    for near in (photo[::2, ::2], decode_rgb(encode_jpeg(photo, 40)), (photo * 0.9).astype(np.uint8)):
        assert hamming(original, np.uint64(phash(np.ascontiguousarray(near)))) <= 6
    for far in (photo[:, ::-1], photo[::-1], 255 - photo):
        assert hamming(original, np.uint64(phash(np.ascontiguousarray(far)))) > MAX_DISTANCE


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(0, 250),
    share=st.floats(0, 1),
    max_distance=st.integers(0, MAX_DISTANCE),
)
def test_near_duplicates_follow_the_rule(seed: int, rows: int, share: float, max_distance: int) -> None:
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 2**64, rows, dtype=np.uint64)
    for i in np.flatnonzero(random.random(rows) < share):
        flips = random.integers(0, 64, random.integers(0, 2 * max_distance + 2))
        value = int(hashes[random.integers(0, i + 1)])
        for bit in flips.tolist():
            value ^= 1 << bit
        hashes[i] = value
    assert first_of_near_duplicates(hashes, max_distance).tolist() == plain(hashes, max_distance)


def test_near_duplicates_across_many_blocks() -> None:
    random = np.random.default_rng(3)
    seeds = random.integers(0, 2**64, 500, dtype=np.uint64)
    hashes = seeds[random.integers(0, 500, 1600)] ^ (np.uint64(1) << random.integers(0, 64, 1600).astype(np.uint64))
    for max_distance in (1, 2, 6):
        assert first_of_near_duplicates(hashes, max_distance).tolist() == plain(hashes, max_distance)


def test_extremes() -> None:
    assert first_of_near_duplicates(np.zeros(0, np.uint64), 4).tolist() == []
    same = np.full(5000, 7, np.uint64)
    assert first_of_near_duplicates(same, 0).tolist() == [0] * 5000
    chain = np.array([0b0, 0b11, 0b1111], np.uint64)  # the middle goes, so the last has no kept row near it
    assert first_of_near_duplicates(chain, 2).tolist() == [0, 0, 2]
    for bad in (-1, MAX_DISTANCE + 1):
        with pytest.raises(ValueError, match="max_distance"):
            first_of_near_duplicates(chain, bad)
