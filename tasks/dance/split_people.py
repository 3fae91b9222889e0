"""Which clips show the same person, by the faces of their references."""

from collections.abc import Mapping, Sequence

import numpy as np

from tasks.music.groups import Groups

Face = tuple[str, Sequence[float]]
"""The name of a model, and what it says of a face, of unit length."""

BLOCK: int = 1024
"""People that are compared with all others at once."""


def people(video: Sequence[str], faces: Sequence[Face | None], cosines: Mapping[str, float]) -> list[int | None]:
    """A number for each clip: clips of one person have the same; None: no face.

    Faces of one video are joined first, and the people of different videos are then compared by the mean of their
    faces, which says more than one face does. Faces of different models cannot be compared.

    Args:
        video: of each clip.
        faces: of each clip.
        cosines: from which two faces are one person's, by model.
    """
    groups = Groups(len(faces))
    for model, least in cosines.items():
        of_model = [clip for clip, face in enumerate(faces) if face is not None and face[0] == model]
        units = np.array([faces[clip][1] for clip in of_model], np.float32)  # type: ignore[index]
        by_video: dict[str, list[int]] = {}
        for row, clip in enumerate(of_model):
            by_video.setdefault(video[clip], []).append(row)
        for rows in by_video.values():
            for first, second in alike(units[rows], least):
                groups.join(of_model[rows[first]], of_model[rows[second]])
        members: dict[int, list[int]] = {}
        for row, clip in enumerate(of_model):
            members.setdefault(groups.of(clip), []).append(row)
        roots = list(members)
        means = np.array([units[rows].sum(axis=0) for rows in members.values()], np.float32).reshape(len(roots), -1)
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        for first, second in alike(means, least):
            groups.join(roots[first], roots[second])
    return [groups.of(clip) if face is not None else None for clip, face in enumerate(faces)]


def alike(units: np.ndarray, least: float) -> list[tuple[int, int]]:
    """Pairs of rows, (N, width) of unit length, whose cosine reaches `least`."""
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(units), BLOCK):
        cosines = units[start : start + BLOCK] @ units.T
        first, second = np.nonzero(cosines >= least)
        below = second < first + start
        pairs += zip((first[below] + start).tolist(), second[below].tolist(), strict=True)
    return pairs
