import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture(scope="session")
def photo() -> NDArray[np.uint8]:
    """A drawn scene with smooth areas, edges and colours, no symmetry; (320, 480, 3)."""
    import cv2

    y, x = np.mgrid[0:320, 0:480].astype(np.float32)
    scene = np.stack([80 + x / 4, 200 - y / 3, 120 + 60 * np.sin(x / 37 + y / 53)], -1).clip(0, 255).astype(np.uint8)
    cv2.circle(scene, (140, 90), 60, (220, 40, 30), -1, cv2.LINE_AA)
    cv2.rectangle(scene, (300, 150), (450, 300), (20, 60, 160), -1)
    cv2.line(scene, (10, 310), (470, 20), (250, 250, 20), 5, cv2.LINE_AA)
    scene.setflags(write=False)
    return scene
