"""The folders that music-to-pose training reads; see `tasks.exports.m2p_files` for their names."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from tasks.exports.contents import Disjoint, MadeBy
from tasks.exports.jpeg import RECIPE as JPEG_RECIPE
from tasks.exports.jpeg import as_jpeg
from tasks.exports.m2p_arrays import POSE_RECIPE, npy_bytes, pose_annotations
from tasks.exports.m2p_files import FACE, METADATA, MUSIC, MUSIC_WIDTH, POSES, REFERENCE, SPLITS, VIDEO
from tasks.exports.m2p_join import Moved, Sample, VideoShards, joined_samples
from tasks.exports.m2p_metadata import M2PFacts, kept_together, listed_folders
from tasks.exports.owned import FolderChange, OwnedFolder
from tasks.images.decode import DecodeError
from tasks.schema.errors import StoreError
from tasks.shards.files import LocalFiles
from tasks.shards.manifest import Manifest

_PUT_BYTES: Final = 64 << 20
"""Of files that are written together: enough to keep the disk busy, little enough to hold."""

_MUSIC_RECIPE: Final = "music-1"
_FACE_RECIPE: Final = "face-1"

Made = Callable[[], bytes]


@dataclass(frozen=True)
class M2PTreeExport:
    """What is in the folder now: samples of each split, how many of all have a face, and what had to change for it."""

    folder: Path
    samples: dict[str, int]
    with_face: int
    change: FolderChange


def export_m2p_tree(
    videos: Sequence[VideoShards],
    split: Path,
    folder: Path,
    *,
    manifest: Manifest | None = None,
    moved: Moved | None = None,
    files: LocalFiles | None = None,
) -> M2PTreeExport:
    """Write the folders of a build, or bring those of an earlier build up to date; equal builds give equal bytes.

    metadata.json is written when all its samples are there; what no sample has any more is removed after that.

    Args:
        videos: shards of all videos of the split.
        split: a shard of `SAMPLE_SCHEMA`.
        moved: see `joined_samples`.
        manifest: the build, for its versions and models in metadata.json.
    Raises:
        ConfigError: the folder is not absolute, or a file of somebody else's is in the way.
        StoreError: the shards do not fit each other, or the disk does not take more.
    """
    facts = M2PFacts()
    with OwnedFolder(folder, files or LocalFiles()) as out:
        before = _listed(folder)
        for name in SPLITS:
            (folder / name).mkdir(exist_ok=True)
        pending = _Pending(out)
        for sample in joined_samples(videos, split, moved):
            facts.add(sample)
            for name, (made_from, make) in _files(sample).items():
                path = f"{sample.text('split')}/{sample.text('folder')}/{name}"
                if not out.keep(path, made_from):
                    pending.add(path, made_from, make())
        pending.put()
        out.put({METADATA: facts.to_bytes(manifest)})
        apart = tuple((name,) for name in SPLITS)
        out.declare(
            Disjoint((METADATA,), kept_together(manifest), "split", apart),
            Disjoint((f"{{split}}/{{folder}}/{VIDEO}",), ("folder",), "", apart),
        )
        change = out.finish(MadeBy.of(manifest))
    now = {f"{told['split']}/{name}" for name, told in facts.samples.items()}
    for gone in before - now:
        with suppress(OSError):
            (folder / gone).rmdir()
    return M2PTreeExport(folder, facts.splits, facts.with_face, change)


def _listed(folder: Path) -> set[str]:
    path = folder / METADATA
    return listed_folders(path.read_bytes()) if path.is_file() else set()


class _Pending:
    """Files on their way into the folder."""

    def __init__(self, out: OwnedFolder) -> None:
        self._out = out
        self._contents: dict[str, bytes] = {}
        self._made_from: dict[str, str] = {}
        self._bytes = 0

    def add(self, path: str, made_from: str, data: bytes) -> None:
        self._contents[path], self._made_from[path] = data, made_from
        self._bytes += len(data)
        if self._bytes >= _PUT_BYTES:
            self.put()

    def put(self) -> None:
        self._out.put(self._contents, self._made_from)
        self._contents, self._made_from, self._bytes = {}, {}, 0


def _files(sample: Sample) -> dict[str, tuple[str, Made]]:
    """Name -> what decides the bytes, and how they are made."""
    music, keypoints, embedding = sample.music, sample.keypoints, sample.embedding
    name = sample.text("folder")
    found: dict[str, tuple[str, Made]] = {
        VIDEO: (sample.text("clip_digest"), partial(_same, sample.clip)),
        MUSIC: (_decided(_MUSIC_RECIPE, music), partial(_padded_npy, music)),
        POSES: (_decided(f"{POSE_RECIPE}:{name}", keypoints), partial(pose_annotations, name, keypoints)),
        REFERENCE: (f"{JPEG_RECIPE}:{blake3(sample.reference).hexdigest()}", partial(_jpeg, sample)),
    }
    if embedding is not None:
        found[FACE] = _decided(_FACE_RECIPE, embedding), partial(npy_bytes, embedding)
    return found


def _same(data: bytes) -> bytes:
    return data


def _decided(recipe: str, values: NDArray[np.float32]) -> str:
    return f"{recipe}:{values.shape}:{blake3(values.tobytes()).hexdigest()}"


def _padded_npy(music: NDArray[np.float32]) -> bytes:
    if music.shape[1] > MUSIC_WIDTH:
        raise StoreError(f"There are {music.shape[1]} music features, the folders hold {MUSIC_WIDTH}: leave some out.")
    return npy_bytes(np.pad(music, ((0, 0), (0, MUSIC_WIDTH - music.shape[1]))))


def _jpeg(sample: Sample) -> bytes:
    try:
        return as_jpeg(sample.reference)
    except DecodeError as error:
        raise StoreError(f"The reference picture of {sample.text('sample_id')} is damaged: {error}") from error
