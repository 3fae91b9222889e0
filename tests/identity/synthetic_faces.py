"""Made embeddings of faces, fixed for all time: what linkage is measured on. No column tells good faces from bad ones.

A *space* is how the embeddings of one person scatter. In every space identities have long-tailed sizes, and every
tenth face has collapsed: it looks at one of a few common directions instead of its person, as small blurred faces do,
and matches the others there at a cosine of 0.8 to 0.93.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

WIDTH = 512
JUNK_SHARE = 0.1
JUNK_DIRECTIONS = 24
"""With these, junk costs components a third of their pair F at 100,000 faces, as it was measured elsewhere."""


@dataclass(frozen=True)
class Space:
    """How faces of one person scatter around their centre.

    Attributes:
        identity_width: dimensions that tell people apart; fewer make strangers more alike.
        spread: standard deviation of a face's noise, relative to the length of its centre; drawn between these for
            each person.
        shared: how much of the noise lies in a few directions that all people share (pose, age, light).
        heavy: share of faces with twice the noise.
    """

    identity_width: int
    spread: tuple[float, float]
    shared: float
    heavy: float


SPACES: Mapping[str, Space] = MappingProxyType(
    {
        "even": Space(identity_width=512, spread=(0.7, 0.9), shared=0.0, heavy=0.0),
        "angled": Space(identity_width=256, spread=(0.6, 1.1), shared=0.35, heavy=0.05),
        "crowded": Space(identity_width=96, spread=(0.6, 1.0), shared=0.2, heavy=0.1),
    }
)


@dataclass(frozen=True)
class Faces:
    """Made faces: `vectors` (N, 512) float16 of different lengths, `identity` (N,), `photo` (N,), `junk` (N,) bool.

    `junk_direction` (N,) is what a junk face looks at. Nobody is twice in a photo; most photos show one person.
    """

    vectors: NDArray[np.float16]
    identity: NDArray[np.int64]
    photo: NDArray[np.int64]
    junk: NDArray[np.bool_]
    junk_direction: NDArray[np.int64]


def sizes(faces: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Long-tailed numbers of faces a person, together `faces`: half of the people have fewer than ten."""
    drawn = np.clip(rng.lognormal(np.log(9.0), 1.1, faces), 1, 1500).astype(np.int64)
    drawn = drawn[: int(np.searchsorted(np.cumsum(drawn), faces)) + 1]
    drawn[-1] -= drawn.sum() - faces
    return drawn


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make_faces(space: Space, faces: int, seed: int = 0) -> Faces:
    """Faces of a space in a random order."""
    rng = np.random.default_rng(seed)
    identity = rng.permutation(np.repeat(np.arange(len(counts := sizes(faces, rng))), counts))
    basis = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0].astype(np.float32)
    centres = rng.standard_normal((len(counts), space.identity_width), np.float32) @ basis[: space.identity_width]
    centres = unit(centres)
    spread = rng.uniform(*space.spread, len(counts)).astype(np.float32)
    shared = rng.standard_normal((12, WIDTH), np.float32)
    directions = unit(rng.standard_normal((JUNK_DIRECTIONS, WIDTH), np.float32))
    junk = rng.random(faces) < JUNK_SHARE
    vectors = np.empty((faces, WIDTH), np.float16)
    looks_at = np.empty(faces, np.int64)
    for start in range(0, faces, 8192):
        rows = slice(start, min(start + 8192, faces))
        count = rows.stop - rows.start
        even = unit(rng.standard_normal((count, WIDTH), np.float32))
        common = unit(rng.standard_normal((count, len(shared)), np.float32) @ shared)
        noise = np.sqrt(1 - space.shared) * even + np.sqrt(space.shared) * common
        amount = spread[identity[rows]] * np.where(rng.random(count) < space.heavy, 2, 1)
        made = centres[identity[rows]] + amount[:, None].astype(np.float32) * noise
        own = rng.uniform(0, 0.6, (count, 1)).astype(np.float32)
        rest = np.sqrt(own) * centres[identity[rows]] + np.sqrt(1 - own) * even
        looks_at[rows] = rng.integers(JUNK_DIRECTIONS, size=count)
        collapsed = directions[looks_at[rows]]
        collapsed = collapsed + rng.uniform(0.27, 0.5, (count, 1)).astype(np.float32) * rest
        made = np.where(junk[rows, None], collapsed, made)
        vectors[rows] = unit(made) * rng.uniform(12, 28, (count, 1))
    return Faces(vectors, identity, _photos(identity, rng), junk, looks_at)


def _photos(identity: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """A photo for each face: seven of ten photos show one face, the others up to four different people."""
    faces = len(identity)
    counts = rng.choice(4, faces, p=(0.7, 0.15, 0.1, 0.05)) + 1
    photo = np.repeat(np.arange(faces), counts)[:faces]
    _, first = np.unique(photo * np.int64(faces) + identity, return_index=True)
    twice = np.ones(faces, np.bool_)
    twice[first] = False
    photo[twice] = photo.max() + 1 + np.arange(twice.sum())
    return photo
