"""Faces that somebody asked to have known again, so that new photos of them do not become members of a dataset.

<root>/remembered_faces/000001.json    one face; remove the file, and the face is not known any more

An embedding cannot be salted and still be compared: it is biometric data, lies apart, and only where it was asked for.
"""

from dataclasses import dataclass
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from tasks.schema.errors import StoreError
from tasks.shards.files import disk_errors_explained
from tasks.shards.ledger import Segment, append_segment, make_durable
from tasks.shards.store import Store
from tasks.shards.tombstones import open_tombstones

FOLDER: Final = "remembered_faces"


class RememberedFace(Segment):
    """One face: the sha256 of the recogniser, its embedding of length 1, and the cosine that a face like it reaches.

    `sha256` is the digest of the rest.
    """

    model: str
    embedding: tuple[float, ...]
    least: float
    sha256: str

    @classmethod
    def of(cls, model: str, embedding: NDArray[np.float32], least: float) -> Self:
        values = tuple(float(each) for each in embedding)
        return cls(model=model, embedding=values, least=least, sha256=_digest(model, values, least))

    @property
    def whole(self) -> bool:
        return self.sha256 == _digest(self.model, self.embedding, self.least)


@dataclass(frozen=True, eq=False)
class RememberedFaces:
    """The faces that a store knows again by one recogniser.

    Args:
        embeddings: float32, (N, D), of length 1; N is at least 1.
        least: float32, (N,), the cosine from which on a face is this person.
        digest: of all of it, for keys.
    """

    embeddings: NDArray[np.float32]
    least: NDArray[np.float32]
    digest: str

    @classmethod
    def of(cls, faces: list[RememberedFace]) -> Self:
        ordered = sorted(faces, key=lambda face: face.sha256)
        return cls(
            np.array([face.embedding for face in ordered], np.float32),
            np.array([face.least for face in ordered], np.float32),
            sha256("".join(face.sha256 for face in ordered).encode()).hexdigest(),
        )

    def likeness(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """The cosine with the remembered face that each of (M, D) shows, (M,); NaN: it shows none of them."""
        cosines = embeddings.astype(np.float32) @ self.embeddings.T
        best = np.where(cosines >= self.least, cosines, -np.inf).max(axis=1)
        return np.where(np.isfinite(best), best, np.nan).astype(np.float32)


def remember_face(store: Store, face: RememberedFace) -> Path:
    """Put a face down; one that stands already is not repeated. Durable when this returns.

    Returns:
        its file.
    Raises:
        StoreError: the store cannot be written, or a remembered face is damaged.
    """
    folder = store.root / FOLDER
    with disk_errors_explained(store.root):
        open_tombstones(store)
        while True:
            standing = _read(store)
            for path, each in standing.items():
                if each == face:
                    return path
            index = max((int(path.stem) for path in standing), default=0) + 1
            if append_segment(store, folder, index, face):
                make_durable(store, folder)


def remembers_anybody(store: Store) -> bool:
    """Whether there may be remembered faces, of whatever recogniser."""
    return store.files.has_any(store.root / FOLDER)


def remembered_faces(store: Store, model: str) -> RememberedFaces | None:
    """What a store knows again by the recogniser with this sha256; None: nobody.

    Raises:
        StoreError: a remembered face is damaged.
    """
    found = [face for face in _read(store).values() if face.model == model]
    return RememberedFaces.of(found) if found else None


def _read(store: Store) -> dict[Path, RememberedFace]:
    """Any of them may be removed, so that their numbers have gaps."""
    faces: dict[Path, RememberedFace] = {}
    for path in sorted(store.fresh(FOLDER).glob("[0-9]*.json")):
        try:
            face = RememberedFace.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise _damaged(path) from error
        if not face.whole:
            raise _damaged(path)
        faces[path] = face
    return faces


def _damaged(path: Path) -> StoreError:
    return StoreError(f"{path} is damaged: restore it from a backup, or remove it; the face is then not known again.")


def _digest(model: str, embedding: tuple[float, ...], least: float) -> str:
    return sha256(dumps([model, embedding, least], separators=(",", ":")).encode()).hexdigest()
