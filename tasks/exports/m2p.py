"""The folders of music and poses as a dataset of torch; needs torch, numpy, PyAV and Pillow only.

dataset = M2PDataset(data_root="./dataset", split="train", sequence_length=24, resolution=512)
loader = DataLoader(dataset, batch_size=4, shuffle=True, num_workers=2)
"""

import json
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from tasks.exports.m2p_files import FACE, FACE_WIDTH, METADATA, MUSIC, POSES, REFERENCE, SPLITS, VIDEO
from tasks.exports.m2p_heatmaps import SIGMA, pose_heatmaps
from tasks.exports.m2p_read import music_rows, read_face, read_frames, read_music, read_picture, read_poses
from tasks.schema.errors import ConfigError, SourceError

CELL = 8
"""Pixels of a heatmap's cell. Source: the stride of the image encoders that pose heatmaps are laid beside."""


class M2PDataset(Dataset[dict[str, Any]]):
    """Windows of `sequence_length` frames (T) of the samples of a split, in the order of their folders.

    A sample of the dataset, with R for `resolution`:

    | key | | |
    |---|---|---|
    | music_features | float32 (T, 4800) | a row a frame |
    | pose_heatmap | float16 (T, 134, R/8, R/8) | Gaussians of height 1; zeros without pose_mask |
    | pose_mask | bool (T, 134) | joints that are there and inside the picture |
    | reference_image | uint8 (3, R, R) | RGB |
    | face_embedding | float32 (512,) | of unit length; zeros where has_face is False |
    | has_face | bool | |
    | video_frames | uint8 (T, 3, R, R) | RGB |
    | sample_id, start_frame | str, int | which clip, and the window's first frame in it |

    Args:
        data_root: the folder with `train`, `validation` and `metadata.json`.
        split: "train" or "validation".
        sequence_length: frames of a window; shorter clips are left out and counted in `too_short`.
        resolution: width and height of the pictures in pixels, a multiple of 8; others than those of the files are
            scaled.
        require_face: leave samples without a face out and count them in `skipped`.
        windows: "all": as many windows of a clip as fit one behind the other; "first": its first one; "random": one a
            clip, whose start `seed`, `set_epoch` and the sample decide.
        sigma: of the Gaussians, in cells of the heatmap.
        min_confidence: joints below it count as missing.
        seed: of random windows.
    Raises:
        ConfigError: an argument does not fit.
        SourceError: there is no such folder, or files of a sample are missing or have another shape; when a window is
            read, also that one of them does not decode.
    """

    def __init__(
        self,
        data_root: str | Path,
        split: str = "train",
        sequence_length: int = 24,
        resolution: int = 512,
        *,
        require_face: bool = False,
        windows: Literal["all", "first", "random"] = "all",
        sigma: float = SIGMA,
        min_confidence: float = 0.0,
        seed: int = 0,
    ) -> None:
        _demand(split in SPLITS, f"split is one of {', '.join(SPLITS)}, not {split!r}.")
        _demand(sequence_length >= 1, f"sequence_length is at least 1, not {sequence_length}.")
        _demand(resolution >= CELL and resolution % CELL == 0, f"resolution is a multiple of {CELL}, not {resolution}.")
        _demand(windows in ("all", "first", "random"), f'windows is "all", "first" or "random", not {windows!r}.')
        _demand(sigma > 0, f"sigma is above 0, not {sigma}.")
        self.root = Path(data_root)
        self.split, self.sequence_length, self.resolution, self.windows = split, sequence_length, resolution, windows
        self.sigma, self.min_confidence, self.seed = sigma, min_confidence, seed
        self.skipped = self.too_short = 0
        self._epoch = torch.zeros(1, dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]
        self._folders: list[Path] = []
        self._ids: list[str] = []
        frames: list[int] = []
        for folder, told in _samples(self.root, split):
            length = told["frames"] if "frames" in told else music_rows(folder / MUSIC)
            if length < sequence_length:
                self.too_short += 1
            elif require_face and not (folder / FACE).is_file():
                self.skipped += 1
            else:
                self._folders.append(folder)
                self._ids.append(told.get("sample_id", folder.name))
                frames.append(length)
        self._frames = np.array(frames, np.int64)
        each = self._frames // sequence_length if windows == "all" else np.ones_like(self._frames)
        self._ends = np.cumsum(each)

    def set_epoch(self, epoch: int) -> None:
        """Draw other random windows; workers that live on follow."""
        self._epoch[0] = epoch

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> dict[str, Any]:
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        sample = int(np.searchsorted(self._ends, place, side="right"))
        folder, count = self._folders[sample], self.sequence_length
        start = self._start(sample, place - int(self._ends[sample - 1]) if sample else place)
        pictures, side = read_frames(folder / VIDEO, start, count, self.resolution)
        xy, confidence = read_poses(folder / POSES, start, count)
        seen = (confidence > 0) & (confidence >= self.min_confidence)
        heat, held = pose_heatmaps(xy, seen, side, self.resolution // CELL, self.sigma)
        has_face = (folder / FACE).is_file()
        face = read_face(folder / FACE) if has_face else np.zeros(FACE_WIDTH, np.float32)
        return {
            "music_features": torch.from_numpy(read_music(folder / MUSIC, start, count)),
            "pose_heatmap": torch.from_numpy(heat),
            "pose_mask": torch.from_numpy(held),
            "reference_image": torch.from_numpy(read_picture(folder / REFERENCE, self.resolution)),
            "face_embedding": torch.from_numpy(face),
            "has_face": has_face,
            "video_frames": torch.from_numpy(pictures),
            "sample_id": self._ids[sample],
            "start_frame": start,
        }

    def _start(self, sample: int, window: int) -> int:
        if self.windows != "random":
            return window * self.sequence_length
        drawn = np.random.default_rng([self.seed, int(self._epoch[0]), zlib.crc32(self._ids[sample].encode())])
        return int(drawn.integers(0, self._frames[sample] - self.sequence_length, endpoint=True))


def _samples(root: Path, split: str) -> list[tuple[Path, dict[str, Any]]]:
    """Folders of a split, sorted, and what metadata.json says of each; empty folders are none."""
    if not (root / split).is_dir():
        raise SourceError(f"There is no folder {root / split}: data_root is the one that holds {' and '.join(SPLITS)}.")
    folders = {path.name: path for path in sorted((root / split).iterdir()) if path.is_dir()}
    told = _told(root / METADATA)
    lost = [name for name, each in told.items() if each.get("split") == split and name not in folders]
    if lost:
        raise SourceError(
            f"{root / split} lacks {len(lost)} samples of {METADATA}, {lost[0]} among them: copy it anew."
        )
    return [(path, told.get(name, {})) for name, path in folders.items() if name in told or any(path.iterdir())]


def _told(path: Path) -> dict[str, dict[str, Any]]:
    """What metadata.json says of samples; none where it is missing or of another make."""
    if not path.is_file():
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SourceError(f"{path} does not read: {error}") from error
    samples = said.get("samples") if isinstance(said, dict) else None
    return samples if isinstance(samples, dict) else {}


def _demand(fits: bool, said: str) -> None:
    if not fits:
        raise ConfigError(said)
