"""ONNX files as OpenMMLab publishes them, and whether one has the ends that a wrapper expects."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tasks.schema.errors import ModelError

MEMBER: Final = "end2end.onnx"


def network_in(path: Path) -> bytes:
    """The ONNX file itself, or the one in a zip.

    Raises:
        ModelError: a zip does not hold exactly one `MEMBER`.
    """
    if not zipfile.is_zipfile(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.rpartition("/")[2] == MEMBER]
        if len(members) != 1:
            raise ModelError(f"{path} holds {len(members)} files called {MEMBER}, one is wanted.")
        return archive.read(members[0])


def may_be(shape: Sequence[Any], wanted: Sequence[int | None]) -> bool:
    """Whether a declared shape may be the wanted one; names and gaps may be anything."""
    return len(shape) == len(wanted) and all(
        want is None or not isinstance(side, int) or side == want for side, want in zip(shape, wanted, strict=True)
    )
