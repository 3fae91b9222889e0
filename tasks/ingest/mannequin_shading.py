"""Shades mannequins: tapered capsules with a depth buffer, on a backdrop with a floor.

Pixels are computed with additions, multiplications, divisions and square roots only, which IEEE 754 rounds alike
everywhere, so that a picture is the same on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]

_LIGHT: Final = (-0.48, -0.64, -0.6)
_HALFWAY: Final = (-0.268, -0.358, -0.894)
"""Towards the light, and half way between light and camera: x right, y down, z away from the camera; unit vectors."""


@dataclass(frozen=True)
class Capsule:
    """A tapered rod with round ends as the camera sees it.

    Args:
        start: x, y in pixels, depth in body heights.
        end: likewise.
        start_radius: pixels at `start`.
        end_radius: pixels at `end`.
        thickness: body heights; how far the surface stands out towards the camera.
        owner: what the pixels are marked with in the picture's map of parts; 0 or more.
        colour: RGB, 0 to 255, fully lit.
        gloss: share of white in the highlight.
    """

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    start_radius: float
    end_radius: float
    thickness: float
    owner: int
    colour: Colour
    gloss: float = 0.35


@dataclass(frozen=True, eq=False)
class Scene:
    """A shaded picture.

    Args:
        rgb: 0 to 255, float32, (H, W, 3).
        depth: of the nearest surface in body heights, infinite at the backdrop, float32, (H, W).
        parts: whose surface that is, -1 at the backdrop, int16, (H, W).
    """

    rgb: NDArray[np.float32]
    depth: NDArray[np.float32]
    parts: NDArray[np.int16]


def backdrop(size: int, horizon: float, wall: Colour, floor: Colour) -> NDArray[np.float32]:
    """A wall and a floor that meet softly at the row `horizon`, brighter towards the middle, RGB float32 (S, S, 3)."""
    f = np.float32
    rows = np.arange(size, dtype=f)[:, None] - f(horizon)
    columns = (np.arange(size, dtype=f) - f(size / 2)) / f(size / 2)
    lit_wall = np.asarray(wall, f) * (f(1.06) + f(0.3) * np.clip(rows / f(size), -1, 0))
    lit_floor = np.asarray(floor, f) * (f(0.84) + f(0.36) * np.clip(rows / f(size), 0, 1))
    soft = np.clip(rows / f(size / 24) + f(0.5), 0, 1)
    glow = f(1) - f(0.16) * columns * columns
    picture: NDArray[np.float32] = (lit_wall + soft * (lit_floor - lit_wall))[:, None, :] * glow[None, :, None]
    return picture


def cast_shadow(
    picture: NDArray[np.float32], segments: Sequence[tuple[tuple[float, float], tuple[float, float], float]]
) -> None:
    """Darken the floor below a body, in place.

    Args:
        picture: RGB float32, (S, S, 3).
        segments: start, end and width in pixels of each part's shadow on the floor.
    """
    size = picture.shape[0]
    small = max(size // 4, 1)
    mask = np.zeros((small, small), np.uint8)
    for (x0, y0), (x1, y1), width in segments:
        ends = [round(value * small / size * 16) for value in (x0, y0, x1, y1)]
        if max(abs(e) for e in ends) < 2**19:
            cv2.line(mask, ends[:2], ends[2:], 255, max(1, round(width * small / size)), cv2.LINE_8, 4)
    for _ in range(2):
        mask = np.asarray(cv2.blur(mask, (7, 7)), np.uint8)
    shade = cv2.resize(mask, (size, size), interpolation=cv2.INTER_LINEAR_EXACT).astype(np.float32)
    picture *= (np.float32(1) - shade * np.float32(0.42 / 255))[..., None]


def shade(picture: NDArray[np.float32], capsules: Sequence[Capsule]) -> Scene:
    """Draw capsules over a backdrop (in place), antialiased; the nearer surface wins at every pixel."""
    size = picture.shape[:2]
    scene = Scene(picture, np.full(size, np.inf, np.float32), np.full(size, -1, np.int16))
    for capsule in sorted(capsules, key=lambda c: -(c.start[2] + c.end[2])):
        _shade_one(scene, capsule)
    return scene


def _shade_one(scene: Scene, c: Capsule) -> None:
    height, width = scene.depth.shape
    reach = max(c.start_radius, c.end_radius) + 1
    left, right = max(int(min(c.start[0], c.end[0]) - reach), 0), min(int(max(c.start[0], c.end[0]) + reach) + 2, width)
    top, bottom = (
        max(int(min(c.start[1], c.end[1]) - reach), 0),
        min(int(max(c.start[1], c.end[1]) + reach) + 2, height),
    )
    if left >= right or top >= bottom:
        return
    f = np.float32
    x = np.arange(left, right, dtype=f)[None, :] - f(c.start[0])
    y = np.arange(top, bottom, dtype=f)[:, None] - f(c.start[1])
    dx, dy = f(c.end[0] - c.start[0]), f(c.end[1] - c.start[1])
    along = np.clip((x * dx + y * dy) / max(dx * dx + dy * dy, f(1e-6)), 0, 1)
    off_x, off_y = x - along * dx, y - along * dy
    radius = f(c.start_radius) + along * f(c.end_radius - c.start_radius)
    window = (slice(top, bottom), slice(left, right))
    outer = radius + f(0.5)
    inside = np.nonzero(off_x * off_x + off_y * off_y < outer * outer)
    along, off_x, off_y, radius = along[inside], off_x[inside], off_y[inside], radius[inside]
    nx, ny = off_x / radius, off_y / radius
    across = nx * nx + ny * ny
    nz = np.sqrt(np.maximum(f(1) - across, 0))
    cover = np.minimum(radius * (f(1) - np.sqrt(across)) + f(0.5), 1)
    depth = f(c.start[2]) + along * f(c.end[2] - c.start[2]) - nz * f(c.thickness)
    cover *= depth < scene.depth[window][inside]
    facing = nx * f(_LIGHT[0]) + ny * f(_LIGHT[1]) - nz * f(_LIGHT[2])
    diffuse = f(0.4) + f(0.6 / 1.35) * np.clip(facing + f(0.35), 0, f(1.35))
    diffuse *= f(0.8) + f(0.2) * nz
    shine = np.maximum(nx * f(_HALFWAY[0]) + ny * f(_HALFWAY[1]) - nz * f(_HALFWAY[2]), 0)
    for _ in range(4):
        shine = shine * shine
    grain = along * f(9) + nx * f(1.7)
    grain -= np.floor(grain)
    diffuse *= f(1) - f(0.05) * np.abs(grain - f(0.5))
    lit = diffuse[:, None] * np.asarray(c.colour, f)
    lit += (shine * f(c.gloss))[:, None] * (f(255) - lit)
    under = scene.rgb[window][inside]
    scene.rgb[window][inside] = under + cover[:, None] * (lit - under)
    solid = cover >= f(0.5)
    inside = (inside[0][solid], inside[1][solid])
    scene.depth[window][inside] = depth[solid]
    scene.parts[window][inside] = c.owner
