"""Draws people the ways that other programs do: whole pixels and degrees, other orders, hands and faces."""

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.body.drawing import PALETTE
from tasks.schema.keypoints import OPENPOSE_18, Keypoints

Draw = Callable[[Keypoints, int, int], NDArray[np.uint8]]


def _limb(a: NDArray[np.float32], b: NDArray[np.float32], stick: int) -> NDArray[np.int32]:
    """The limb's outline in whole pixels and degrees."""
    middle = (a + b) / 2
    length, angle = math.hypot(*(a - b)), math.degrees(math.atan2(a[1] - b[1], a[0] - b[0]))
    return cv2.ellipse2Poly((int(middle[0]), int(middle[1])), (int(length / 2), stick), int(angle), 0, 360, 1)


def _limbs_of(people: Keypoints, person: int) -> list[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
    xy, there = people.xy[person], people.present[person]
    return [(i, xy[a], xy[b]) for i, (a, b) in enumerate(OPENPOSE_18.limbs) if there[a] and there[b]]


def _circle(canvas: NDArray[np.uint8], xy: NDArray[np.float32], radius: int, colour: tuple[int, ...]) -> None:
    cv2.circle(canvas, (int(xy[0]), int(xy[1])), radius, colour, -1)


def person_by_person(people: Keypoints, height: int, width: int, darkening: float = 0.6) -> NDArray[np.uint8]:
    """Limbs and joints of one person, then of the next, over the first."""
    canvas = np.zeros((height, width, 3), np.uint8)
    for person in range(len(people)):
        for i, a, b in _limbs_of(people, person):
            cv2.fillConvexPoly(canvas, _limb(a, b, 4), [int(c * darkening) for c in PALETTE[i]])
        for joint in np.flatnonzero(people.present[person]):
            _circle(canvas, people.xy[person, joint], 4, PALETTE[joint])
    return canvas


def limbs_first(
    people: Keypoints, height: int, width: int, stick: int = 4, radius: int = 4, darkening: float = 0.6
) -> NDArray[np.uint8]:
    """All limbs, darkened together, then all joints."""
    canvas = np.zeros((height, width, 3), np.uint8)
    for limb in range(len(OPENPOSE_18.limbs)):
        for person in range(len(people)):
            for i, a, b in _limbs_of(people, person):
                if i == limb:
                    cv2.fillConvexPoly(canvas, _limb(a, b, stick), PALETTE[i])
    canvas = (canvas * darkening).astype(np.uint8)
    for joint in range(len(OPENPOSE_18)):
        for person in np.flatnonzero(people.present[:, joint]):
            _circle(canvas, people.xy[person, joint], radius, PALETTE[joint])
    return canvas


def blended(people: Keypoints, height: int, width: int) -> NDArray[np.uint8]:
    """Joints first, then limbs at 0.6 over them."""
    canvas = np.zeros((height, width, 3), np.uint8)
    for joint in range(len(OPENPOSE_18)):
        for person in np.flatnonzero(people.present[:, joint]):
            _circle(canvas, people.xy[person, joint], 4, PALETTE[joint])
    for limb in range(len(OPENPOSE_18.limbs)):
        for person in range(len(people)):
            for i, a, b in _limbs_of(people, person):
                if i == limb:
                    over = canvas.copy()
                    cv2.fillConvexPoly(over, _limb(a, b, 4), PALETTE[i])
                    canvas = cv2.addWeighted(canvas, 0.4, over, 0.6, 0)
    return canvas


def with_hands_and_faces(people: Keypoints, height: int, width: int) -> NDArray[np.uint8]:
    """`limbs_first`, then 21 blue dots a hand with rainbow fingers, then 68 white dots a face."""
    canvas = limbs_first(people, height, width)
    rng = np.random.default_rng(0)
    for person in range(len(people)):
        for elbow, wrist in ((3, 4), (6, 7)):
            if people.present[person, [elbow, wrist]].all():
                _hand(canvas, people.xy[person, elbow], people.xy[person, wrist], rng)
        if people.present[person, 0]:
            for x, y in people.xy[person, 0] + rng.normal(0, 12, (68, 2)):
                cv2.circle(canvas, (int(x), int(y)), 3, (255, 255, 255), -1)
    return canvas


def _hand(
    canvas: NDArray[np.uint8], elbow: NDArray[np.float32], wrist: NDArray[np.float32], rng: np.random.Generator
) -> None:
    along = (wrist - elbow) / max(float(np.hypot(*(wrist - elbow))), 1)
    root = wrist + 5 * along
    tips = [root]
    for finger in range(5):
        angle = math.radians(25 * (finger - 2)) + math.atan2(along[1], along[0])
        step = np.array([math.cos(angle), math.sin(angle)]) * 5.5
        points = [root + k * step + rng.normal(0, 0.7, 2) for k in range(1, 5)]
        for k, (a, b) in enumerate(zip([root, *points[:-1]], points, strict=True)):
            hue = np.uint8([[[(finger * 4 + k) / 20 * 180, 255, 255]]])
            colour = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0].tolist()
            cv2.line(canvas, [int(v) for v in a], [int(v) for v in b], colour, 2)
        tips += points
    for x, y in tips:
        cv2.circle(canvas, (int(x), int(y)), 4, (0, 0, 255), -1)
