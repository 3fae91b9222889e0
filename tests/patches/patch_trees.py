"""Small trees of patches, and what lies in them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.patches.formats import PatchCategory, PatchFormat
from tasks.patches.png import PngRules
from tasks.patches.stacks import Stacks, stacks
from tasks.patches.tree import Layout, PatchTree
from tasks.shards.files import LocalFiles

Row = dict[str, Any]

FORMATS = (PatchFormat(name="tiny", width=96, height=66, folder="Patches"),)
CATEGORIES = (
    PatchCategory(name="general", folder="Universal/Mastermodell/Learn", formats={"tiny": 1.0}),
    PatchCategory(name="space", folder="Space/SpaceModel/Learn", formats={"tiny": 1.0}),
)
RULES = PngRules()


def small_tree(
    root: Path,
    layout: Layout = "stacks",
    *,
    temporary: Path | None = None,
    min_free_bytes: int = 0,
    files: LocalFiles | None = None,
) -> PatchTree:
    return PatchTree(
        root,
        CATEGORIES,
        FORMATS,
        layout,
        temporary=temporary,
        min_free_bytes=min_free_bytes,
        files=files or LocalFiles(),
    )


def windows(count: int, film: str = "sintel", first: int = 0) -> list[Row]:
    """Rows as far as a tree looks at them."""
    return [
        {
            "sample_id": f"{film}/w{number:06}_{category}",
            "film": film,
            "category": category,
            "format": "tiny",
        }
        for number in range(first, first + count)
        for category in ("general", "space")
    ]


def pictures(row: Row, seed: int = 0) -> Stacks:
    draw = np.random.default_rng([seed, *row["sample_id"].encode()])
    return stacks(list(draw.integers(0, 256, (7, 66, 96, 3), np.uint8)))


def write(tree: PatchTree, rows: Sequence[Row], seed: int = 0) -> tuple[Row, list[Row]]:
    """The facts of a piece and its rows."""
    with tree.piece(rows) as piece:
        written = [tree.put(piece, row, pictures(row, seed), RULES) for row in rows]
        return {"piece": piece.name, "files": piece.end()}, written


def read(path: Path) -> NDArray[np.uint8]:
    """A picture, RGB."""
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB), np.uint8)


def contents(root: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def patches(root: Path) -> dict[str, bytes]:
    """All files below a folder but our notes."""
    return {name: data for name, data in contents(root).items() if not name.startswith(".mannequin/")}
