"""The face of a photo: which one is meant, what is kept of it, and what is said where nothing can be looked for."""

from pathlib import Path

import numpy as np
import pytest

from tasks.face.face_detector import FaceDetections
from tasks.forget.faces import _main_face, faces_like
from tasks.models.zoo import Zoo
from tasks.schema.boxes import Boxes
from tasks.schema.errors import ConfigError, StoreError
from tasks.shards.store import Store


def seen(*sides: float) -> FaceDetections:
    xyxy = np.array([[0, 0, side, side] for side in sides], np.float32).reshape(-1, 4)
    return FaceDetections(Boxes(xyxy, np.full(len(sides), 0.9, np.float32)), np.zeros((len(sides), 5, 2), np.float32))


def test_the_face_that_is_much_larger_is_meant() -> None:
    assert _main_face(seen(10, 40, 20), 0.7, "photo") == 1
    with pytest.raises(ConfigError, match="several faces"):
        _main_face(seen(40, 35), 0.7, "photo")
    for found, floor in ((seen(), 0.7), (seen(40), 0.95)):
        with pytest.raises(ConfigError, match="no face"):
            _main_face(found, floor, "photo")


def test_without_a_build_there_is_nothing_to_look_in(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.touch()
    with pytest.raises(StoreError, match="run the flow"):
        faces_like(Store(tmp_path), Zoo(tmp_path), photo)
