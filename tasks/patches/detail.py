"""Whether a patch holds detail that a network for super-resolution can learn: not flat, soft, smeared or mere grain.

A sharp edge has much more gradient energy at the scale of a pixel than at that of four; blur evens the two out. The
ratio of both in blocks that hold an edge at all is the measure. Grain lives in the fine scale only and everywhere: what
the flattest blocks have is taken off all blocks, and blocks must rise well above it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.schema.forms import Form
from tasks.schema.rejections import Reason

BLOCK = 32
"""Pixels a side: small enough for a focused eye in a soft picture, large enough for steady energies."""
BAND = 3 * BLOCK
AREA = 720 * 720
"""Pixels that are looked at; of larger patches evenly spaced bands."""
FLATTEST = 0.1
"""Share of the blocks that tell the grain."""
MOST_GRAIN = 2.0
"""Coarse energy of strong grain (15 levels, 0 to 255); more is texture, unless it is as fine as grain."""
GRAIN_RATIO = 12.0
"""Fine over coarse energy of grain is 17 to 40, that of texture seldom above 12."""
TOP = 0.1
"""Share of the blocks, the sharpest, that tell directions apart."""
FEWEST = 4

Energies = NDArray[np.float32]


class DetailRules(Form):
    """What counts as detail; calibrated on photos and films, blurred, smeared and grained at known strength."""

    edge_energy: float = Field(
        0.6,
        title="Edge",
        gt=0,
        description="Mean squared gradient (levels a pixel, at a scale of 4 pixels) of a block that holds an edge.",
    )
    edge_over_grain: float = Field(
        4.0, title="Edge over grain", ge=0, description="How many times the grain's energy it must be as well."
    )
    least_edges: float = Field(0.02, title="Fewest edges", gt=0, lt=1, description="Share of the blocks; less is flat.")
    sharp_share: float = Field(
        0.03, title="Sharp part", gt=0, lt=1, description="Share of the blocks that must be sharp."
    )
    least_sharpness: float = Field(
        2.3, title="Sharpness", gt=1, description="Fine over coarse energy: about 10 is sharp, 1 has no detail at all."
    )
    least_sharpness_along: float = Field(
        2.0, title="Sharpness along movement", gt=1, description="The same in the direction where it is least."
    )
    smear_ratio: float = Field(
        1.5, title="Smear", gt=1, description="Sharpness across over along; more is smeared, if it moves."
    )
    least_motion: float = Field(
        1.5, title="Movement", ge=0, description="Pixels a frame from which smear counts as motion blur."
    )
    grain_energy: float = Field(
        2.0, title="Grain", gt=0, description="Fine energy of the flattest blocks, from which a flat patch is grain."
    )


@dataclass(frozen=True)
class Detailed:
    """A patch worth keeping: sharpness as the rules define it, movement in pixels a frame (a lower bound when fast)."""

    detail: float
    motion: float


@dataclass(frozen=True)
class Poor:
    """A patch without detail, with a sentence for a person and the value that decided."""

    reason: Reason
    detail: str
    score: float


def judge_patch(
    gt: NDArray[np.uint8], neighbours: Sequence[NDArray[np.uint8]], rules: DetailRules | None = None
) -> Detailed | Poor:
    """Judge one patch.

    Args:
        gt: The ground truth, RGB (h, w, 3), uint8, at least 64 pixels a side.
        neighbours: The same crop of the frames right before and after it (one or both), for its movement.
        rules: Limits; the defaults if None.

    Raises:
        ValueError: Pictures of different sizes, or too small.
    """
    rules = rules or DetailRules()
    if min(gt.shape[:2]) < 2 * BLOCK or any(n.shape != gt.shape for n in neighbours) or not neighbours:
        raise ValueError(f"a patch is an RGB picture of at least {2 * BLOCK} pixels with neighbours of its size")
    look = _look(gt, neighbours)
    fine_grain, coarse_grain = _grain(look)
    coarse = look.coarse_total - coarse_grain
    held = coarse > max(rules.edge_energy, rules.edge_over_grain * coarse_grain)
    share = float(held.mean())
    if share < rules.least_edges:
        if fine_grain >= rules.grain_energy:
            return Poor(Reason.PATCH_GRAIN_ONLY, f"Grain, and edges in {share:.1%} of its blocks only.", share)
        return Poor(Reason.PATCH_FLAT, f"Edges in {share:.1%} of its blocks only.", share)
    ratio = np.where(held, np.maximum(look.fine_total - fine_grain, 0) / np.maximum(coarse, 1e-6), 0)
    order = np.argsort(-ratio, kind="stable")
    sharpness = float(ratio[order[min(len(order) - 1, max(FEWEST - 1, int(rules.sharp_share * len(order))))]])
    top = order[: max(FEWEST, int(TOP * len(order)))]
    along, across = _directions(look, top[held[top]], fine_grain, coarse_grain)
    smeared = across >= rules.smear_ratio * along and look.motion >= rules.least_motion
    if smeared and along < rules.least_sharpness_along:
        detail = f"Smeared by movement: sharpness {along:.1f} along it, {across:.1f} across."
        return Poor(Reason.PATCH_MOTION_BLURRED, detail, along)
    if sharpness < rules.least_sharpness:
        return Poor(Reason.PATCH_DEFOCUSED, f"Out of focus: sharpness {sharpness:.1f} at its best places.", sharpness)
    return Detailed(sharpness, look.motion)


@dataclass(frozen=True)
class _Look:
    """Mean squared gradients of the blocks, (3, blocks): along x, along y, mixed; `usable`: neither black nor white."""

    fine: Energies
    coarse: Energies
    usable: NDArray[np.bool_]
    motion: float

    @property
    def fine_total(self) -> Energies:
        return np.asarray(self.fine[0] + self.fine[1], np.float32)

    @property
    def coarse_total(self) -> Energies:
        return np.asarray(self.coarse[0] + self.coarse[1], np.float32)


def _look(gt: NDArray[np.uint8], neighbours: Sequence[NDArray[np.uint8]]) -> _Look:
    fine, coarse, means, moved, slope = [], [], [], [0.0] * len(neighbours), 0.0
    for rows in _bands(*gt.shape[:2]):
        grey = _grey(gt[rows])
        small = _halved(grey)
        fine.append(_energies(_gradients(grey), BLOCK, 8))
        steps = _gradients(small)
        coarse.append(_energies(steps, BLOCK // 2, 16))
        means.append(_means(small, BLOCK // 2))
        slope += float(cv2.norm(steps[0], cv2.NORM_L1) + cv2.norm(steps[1], cv2.NORM_L1)) / 16
        for index, neighbour in enumerate(neighbours):
            moved[index] += float(cv2.norm(small, _halved(_grey(neighbour[rows])), cv2.NORM_L1))
    mean = np.concatenate(means)
    usable = (mean > 8) & (mean < 247)
    motion = float(np.mean(moved)) / (slope + 1)
    return _Look(np.concatenate(fine, axis=1), np.concatenate(coarse, axis=1), usable, motion)


def _bands(height: int, width: int) -> list[slice]:
    """Bands of rows that hold at most `AREA` pixels together, evenly spaced."""
    count = height // BAND
    if count == 0:
        return [slice(0, height // BLOCK * BLOCK)]
    wanted = max(1, min(count, AREA // (BAND * width)))
    if wanted == count:
        return [slice(0, height // BLOCK * BLOCK)]
    tops = np.linspace(0, height - BAND, wanted).astype(int)
    return [slice(int(top), int(top) + BAND) for top in tops]


def _grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = (side // BLOCK * BLOCK for side in picture.shape[:2])
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    return grey[:height, :width].astype(np.uint8, copy=False)


def _halved(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    height, width = grey.shape
    half = cv2.resize(grey, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(half.astype(np.float32), (5, 5), 0.9), np.float32)


def _gradients(grey: NDArray[np.uint8] | NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Along x and y, in eighths of a level a pixel."""
    depth = cv2.CV_16S if grey.dtype == np.uint8 else cv2.CV_32F
    return [cv2.Sobel(grey, depth, *axes).astype(np.float32, copy=False) for axes in ((1, 0), (0, 1))]


def _energies(gradients: Sequence[NDArray[np.float32]], block: int, unit: float) -> Energies:
    """Mean squared gradients of the blocks, where `unit` gradients are one level a pixel."""
    x, y = gradients
    return np.stack([_means(x * x, block), _means(y * y, block), _means(x * y, block)]) / np.float32(unit**2)


def _means(values: NDArray[np.float32], block: int) -> Energies:
    height, width = values.shape
    size = (width // block, height // block)
    return cv2.resize(values, size, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False).ravel()


def _grain(look: _Look) -> tuple[float, float]:
    """Fine and coarse energy of the flattest blocks; none where nearly all is black or white."""
    usable = np.flatnonzero(look.usable)
    if len(usable) < FLATTEST * len(look.usable):
        return 0.0, 0.0
    order = usable[np.argsort(look.coarse_total[usable], kind="stable")]
    flattest = order[: max(1, int(FLATTEST * len(order)))]
    fine, coarse = float(np.median(look.fine_total[flattest])), float(np.median(look.coarse_total[flattest]))
    if fine >= GRAIN_RATIO * coarse:
        return fine, coarse
    texture = max(1.0, coarse / MOST_GRAIN)
    return fine / texture, coarse / texture


def _directions(look: _Look, blocks: NDArray[np.intp], fine_grain: float, coarse_grain: float) -> tuple[float, float]:
    """Least and largest fine over coarse energy of any direction, in these blocks together."""
    if len(blocks) == 0:
        return 0.0, 0.0
    fine = _tensor(look.fine[:, blocks].mean(1), fine_grain)
    coarse = _tensor(look.coarse[:, blocks].mean(1), coarse_grain)
    weight = 0.05 * float(np.trace(coarse))
    ratios = np.linalg.eigvals(np.linalg.solve(coarse + weight * np.eye(2), fine + weight * np.eye(2))).real
    return float(ratios.min()), float(ratios.max())


def _tensor(energies: Energies, grain: float) -> NDArray[np.float64]:
    x, y, mixed = (float(e) for e in energies)
    return np.array([[max(x - grain / 2, 0.0), mixed], [mixed, max(y - grain / 2, 0.0)]])
