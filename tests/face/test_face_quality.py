"""Sharpness tells blur from light, noise and size; frontality tells where a face looks."""

import cv2
import numpy as np
import pytest

from tasks.face.align import ARCFACE_112, aligned_face
from tasks.face.quality import frontality, sharpness


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    """Detail of every size, as photos have it: amplitudes fall with the frequency."""
    rng = np.random.default_rng(5)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(160), np.fft.fftfreq(160)))
    waves = np.fft.fft2(rng.normal(size=(160, 160))) / np.maximum(frequency, 1 / 160)
    grey = np.real(np.fft.ifft2(waves))
    grey = np.clip(128 + 40 * (grey - grey.mean()) / grey.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def test_more_blur_is_less_sharp(texture):
    measured = [sharpness(texture, 112)] + [
        sharpness(cv2.GaussianBlur(texture, (0, 0), sigma), 112) for sigma in (1, 2, 3, 5)
    ]
    assert measured == sorted(measured, reverse=True)
    assert measured[0] > 0.5 > 0.3 > measured[2] > measured[4]


@pytest.mark.parametrize("turned", [False, True])
def test_a_shaken_camera_is_not_sharp(texture, turned):
    kernel = np.full((1, 11), 1 / 11, np.float32)
    shaken = cv2.filter2D(texture, -1, kernel.T if turned else kernel)
    assert sharpness(shaken, 112) < 0.6 * sharpness(texture, 112)


def test_light_and_noise_change_little(texture):
    sharp = sharpness(texture, 112)
    dark = (texture * 0.4).astype(np.uint8)
    noisy = np.clip(texture + np.random.default_rng(0).normal(0, 10, texture.shape), 0, 255).astype(np.uint8)
    assert sharpness(dark, 112) == pytest.approx(sharp, abs=0.08)
    assert sharpness(noisy, 112) == pytest.approx(sharp, abs=0.08)
    blurred = cv2.GaussianBlur(texture, (0, 0), 4)
    noisy = np.clip(blurred + np.random.default_rng(0).normal(0, 5, texture.shape), 0, 255).astype(np.uint8)
    assert sharpness(noisy, 112) < 0.35


@pytest.mark.parametrize("native", [80, 40, 32])
def test_small_is_not_blurred(texture, native):
    small = cv2.resize(texture, (native * 160 // 112,) * 2, interpolation=cv2.INTER_AREA)
    enlarged = cv2.resize(small, (160, 160), interpolation=cv2.INTER_CUBIC)
    assert sharpness(enlarged, native) == pytest.approx(sharpness(texture, 112), abs=0.12)
    assert sharpness(enlarged, native) > 0.45


def test_an_empty_face_is_not_sharp():
    assert sharpness(np.full((320, 320, 3), 77, np.uint8), 112) == 0


def test_from_the_front_it_is_one():
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    assert frontality(ARCFACE_112) == pytest.approx(1, abs=0.02)
    assert frontality(ARCFACE_112 @ turn.T * 3 + 50) == pytest.approx(frontality(ARCFACE_112), abs=1e-5)


def test_it_falls_as_the_head_turns():
    # Depths of the landmarks in the widths of the ArcFace frame: the nose stands out, the eyes lie behind the mouth.
    depth = np.array([0.0, 0.0, 25.0, 5.0, 5.0])
    seen = []
    for degrees in (0, 20, 40, 60, 80):
        angle = np.deg2rad(degrees)
        x = (ARCFACE_112[:, 0] - 56) * np.cos(angle) + depth * np.sin(angle)
        seen.append(frontality(np.stack([x, ARCFACE_112[:, 1]], axis=1)))
    assert seen == sorted(seen, reverse=True)
    assert seen[0] > 0.9
    assert seen[-1] == 0


@pytest.mark.parametrize("bad", [np.zeros((5, 2)), ARCFACE_112 * [-1, 1], ARCFACE_112[[0, 1, 2, 0, 1]]])
def test_what_is_no_face_from_the_front_is_zero(bad):
    assert frontality(bad) == 0


def test_a_saved_face_is_as_sharp_as_its_photo_whatever_its_side(texture):
    photo = cv2.resize(texture, (480, 480), interpolation=cv2.INTER_CUBIC)
    landmarks = ARCFACE_112 * 3 + 70
    assert sharpness(aligned_face(photo, landmarks, 160), 112) == pytest.approx(
        sharpness(aligned_face(photo, landmarks, 320), 112), abs=0.05
    )
