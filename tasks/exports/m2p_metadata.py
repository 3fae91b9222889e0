"""metadata.json: versions, counts, what the arrays hold, and what is known of each sample."""

import json
import math
import re
from collections import Counter
from typing import Any, Final

from tasks.body.wholebody import OPENPOSE_134
from tasks.exports.m2p_files import FACE, FPS, MUSIC, MUSIC_WIDTH, POSES, SPLITS, VIDEO
from tasks.exports.m2p_join import Row, Sample
from tasks.schema.errors import StoreError
from tasks.shards.manifest import Manifest

FORMAT_VERSION: Final = 1

_ASKED: Final = {"by_song": "song_group", "by_person": "person_group"}
"""Parameters of the split -> what it then keeps together."""


class M2PFacts:
    """Adds up what a dataset holds, sample by sample; `samples` by folder."""

    def __init__(self) -> None:
        self.samples: dict[str, Row] = {}
        self.layout: tuple[str, ...] = ()
        self._produced: dict[str, list[str]] = {}

    def add(self, sample: Sample) -> None:
        """Note a sample.

        Raises:
            StoreError: its music features are not those of the others, or another sample has its folder.
        """
        told = sample.facts
        folder, sample_id = told.pop("folder"), told["sample_id"]
        if folder in self.samples:
            raise StoreError(f"{sample_id} and {self.samples[folder]['sample_id']} would both be {folder}: rename one.")
        if self.samples and sample.layout != self.layout:
            raise StoreError(f"{sample_id} has other music features than the rest: make the build again.")
        self.layout = sample.layout
        produced = sample.row["produced"][0].as_py()
        self._produced[told["pose_model"]] = [
            name for name, is_made in zip(OPENPOSE_134.joints, produced, strict=True) if is_made
        ]
        has_face = sample.embedding is not None
        self.samples[folder] = {**told, "duration_s": told["frames"] / FPS, "has_face": has_face}

    def count(self, column: str) -> dict[str, int]:
        """Values of a column -> samples that have it, sorted."""
        return dict(sorted(Counter(str(told[column]) for told in self.samples.values()).items()))

    @property
    def splits(self) -> dict[str, int]:
        """Split -> samples, empty ones included."""
        return {name: self.count("split").get(name, 0) for name in SPLITS}

    @property
    def with_face(self) -> int:
        return sum(told["has_face"] for told in self.samples.values())

    @property
    def hours(self) -> float:
        return float(sum(told["duration_s"] for told in self.samples.values()) / 3600)

    def counts(self) -> Row:
        """Numbers of the whole."""
        return {
            "samples": len(self.samples),
            **self.splits,
            "with_face": self.with_face,
            "videos": len(self.count("video")),
            "frames": sum(told["frames"] for told in self.samples.values()),
            "song_groups": len(self.count("song_group").keys() - {""}),
            "person_groups": len(self.count("person_group").keys() - {""}),
            "groups": len(self.count("group")),
        }

    def without_face(self) -> dict[str, int]:
        """Why there is no embedding -> samples; numbers in the sentences are left out, so that few are different."""
        missing = (str(told["embedding_missing"]) for told in self.samples.values() if not told["has_face"])
        return dict(sorted(Counter(re.sub(r"\d+([.,]\d+)*", "…", why) for why in missing).items()))

    def to_bytes(self, manifest: Manifest | None) -> bytes:
        """The file, one sample a line; equal facts give equal bytes."""
        build = manifest and {
            "flow": manifest.flow,
            "code": manifest.code,
            "manifest": manifest.digest,
            "models": [model.model_dump(mode="json") for model in manifest.models],
        }
        said = {
            "format": "m2p",
            "version": FORMAT_VERSION,
            "build": build,
            "counts": self.counts(),
            "without_face": self.without_face(),
            "licences": self.count("licence"),
            VIDEO: {"fps": FPS, "codec": "h264", "pixels": "yuv420p"},
            MUSIC: {
                "shape": ["frames", MUSIC_WIDTH],
                "real_columns": len(self.layout),
                "layout": list(self.layout),
                "note": "columns behind the real ones are zeros; row n belongs to frame n",
            },
            POSES: {
                "layout": OPENPOSE_134.name,
                "joints": list(OPENPOSE_134.joints),
                "skeleton": [list(limb) for limb in OPENPOSE_134.limbs],
                "models": {name: {"produces": joints} for name, joints in sorted(self._produced.items())},
                "note": "pixels of the clip, the middle of the first is 0; missing: x and y null, confidence 0",
            },
            FACE: {"note": "of unit length; absent where embedding_missing says why"},
        }
        told = ",\n".join(f'"{name}": {_json(facts)}' for name, facts in sorted(self.samples.items()))
        head = [f'"{key}": {_json(value)}' for key, value in said.items()]
        return ("{\n" + ",\n".join([*head, '"samples": {\n' + told + "\n}"]) + "\n}\n").encode()


def _json(value: Any) -> str:
    return json.dumps(finite(value), ensure_ascii=False, allow_nan=False)


def finite(value: Any) -> Any:
    """The same without numbers that JSON has not: they become null."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def kept_together(manifest: Manifest | None) -> tuple[str, ...]:
    """Columns of which no value is in two splits; those that a build may leave out only where it says that it did not.

    Args:
        manifest: the build.
    """
    asked = manifest.params.get("split") if manifest else None
    found = [column for name, column in _ASKED.items() if isinstance(asked, dict) and asked.get(name) is True]
    return ("sample_id", "folder", "video", "group", *found)


def listed_folders(data: bytes) -> set[str]:
    """`<split>/<folder>` of the samples that a metadata.json of ours lists; none if it is of another make.

    Args:
        data: the file.
    """
    try:
        samples = json.loads(data)["samples"]
        return {f"{told['split']}/{folder}" for folder, told in samples.items() if told["split"] in SPLITS}
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()
