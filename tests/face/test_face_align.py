"""Faces land on the ArcFace points, in one warp, without aliasing."""

import cv2
import numpy as np
import pytest

from tasks.face.align import (
    ARCFACE_112,
    aligned_face,
    aligned_points,
    native_side,
    recognition_input,
    share_inside,
    similarity_transform,
)
from tasks.schema.errors import ShapeError


def placed(scale: float, degrees: float, x: float, y: float) -> np.ndarray:
    """The ArcFace points, scaled, turned and moved."""
    turn = np.deg2rad(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return (ARCFACE_112 - 56) @ rotation.T * scale + [x, y]


@pytest.mark.parametrize("scale", [0.05, 1, 7])
@pytest.mark.parametrize("degrees", [0, 30, 180, -95])
def test_a_similarity_is_found_again(scale, degrees):
    source = placed(scale, degrees, 300, 20)
    matrix = similarity_transform(source, ARCFACE_112)
    np.testing.assert_allclose(source @ matrix[:, :2].T + matrix[:, 2], ARCFACE_112, atol=1e-4)
    np.testing.assert_allclose(native_side(source), 112 * scale, rtol=1e-5)


def test_a_mirrored_face_is_not_mirrored_back():
    mirrored = ARCFACE_112 * [-1, 1]
    matrix = similarity_transform(mirrored, ARCFACE_112)
    assert np.linalg.det(matrix[:, :2]) > 0


def test_it_is_the_best_similarity():
    rng = np.random.default_rng(3)
    source = placed(2, 20, 90, 80) + rng.normal(0, 4, (5, 2))

    def error(matrix):
        return float(((source @ matrix[:, :2].T + matrix[:, 2] - ARCFACE_112) ** 2).sum())

    best = similarity_transform(source, ARCFACE_112)
    for step in (1e-3, -1e-3):
        for change in ([[step, 0, 0], [0, step, 0]], [[0, -step, 0], [step, 0, 0]], [[0, 0, step], [0, 0, step]]):
            assert error(best) <= error(best + np.array(change))


@pytest.mark.parametrize("bad", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.zeros((4, 2))])
def test_landmarks_without_extent_are_refused(bad):
    with pytest.raises(ShapeError):
        similarity_transform(bad, ARCFACE_112)


def dots(points: np.ndarray, size: int, radius: float) -> np.ndarray:
    """White dots on black, with soft edges, at exact places."""
    y, x = np.mgrid[:size, :size]
    away = np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1]).min(axis=2)
    return np.repeat(np.clip((radius + 0.5 - away) * 255, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def centres(picture: np.ndarray, near: np.ndarray, reach: float) -> np.ndarray:
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    weight = picture[..., 0].astype(float)
    found = []
    for point in near:
        here = weight * (np.hypot(x - point[0], y - point[1]) < reach)
        found.append([(here * x).sum() / here.sum(), (here * y).sum() / here.sum()])
    return np.array(found)


@pytest.mark.parametrize("scale", [0.4, 1.0, 1.7, 5.3])
@pytest.mark.parametrize("side", [160, 228, 320])
def test_landmarks_land_on_their_points(scale, side):
    landmarks = placed(scale, 15, 400, 380)
    aligned = aligned_face(dots(landmarks, 800, 4 * scale), landmarks, side)
    assert aligned.shape == (side, side, 3)
    grown = side / 160
    np.testing.assert_allclose(
        centres(aligned, aligned_points(side), 8 * grown), aligned_points(side), atol=0.15 + 0.1 * grown
    )
    np.testing.assert_allclose(centres(recognition_input(aligned), ARCFACE_112, 8), ARCFACE_112, atol=0.25)


def test_a_model_sees_the_very_pixels_of_an_aligned_face_of_160():
    aligned = np.random.default_rng(0).integers(0, 255, (160, 160, 3), np.uint8)
    np.testing.assert_array_equal(recognition_input(aligned), aligned[24:136, 24:136])


def test_what_shrinks_is_averaged_not_skipped():
    landmarks = placed(4.3, 7, 400, 400)
    y, x = np.mgrid[:800, :800]
    stripes = np.repeat((((x // 2 + y // 2) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)
    inner = slice(40, 120)
    ours = aligned_face(stripes, landmarks, 160)[inner, inner].std()
    matrix = similarity_transform(landmarks, aligned_points(160))
    plain = cv2.warpAffine(stripes, matrix, (160, 160), flags=cv2.INTER_LINEAR)[inner, inner].std()
    assert ours < 12 < 40 < plain


def test_beyond_the_photo_it_is_black():
    aligned = aligned_face(np.full((100, 100, 3), 200, np.uint8), placed(1, 0, 0, 50), 160)
    assert (aligned[:, 10] == 0).all()
    assert (aligned[60:100, 120] == 200).all()
    assert share_inside(placed(1, 0, 0, 50), 100, 100) == pytest.approx(0.44, abs=0.05)
    assert share_inside(placed(0.5, 0, 50, 50), 100, 100) == 1


def test_only_square_faces_are_seen():
    with pytest.raises(ShapeError):
        recognition_input(np.zeros((160, 150, 3), np.uint8))
