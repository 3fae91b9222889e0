"""The names and shapes of the folders that music-to-pose training reads, for those who write and who read them.

train/<sample>/video.mp4, music_features.npy, pose_annotations.json, reference_image.jpg, face_embedding.npy
validation/<sample>/...
metadata.json

Source of all of it: the seed.
"""

from typing import Final

VIDEO: Final = "video.mp4"
MUSIC: Final = "music_features.npy"
POSES: Final = "pose_annotations.json"
REFERENCE: Final = "reference_image.jpg"
FACE: Final = "face_embedding.npy"
"""Only where a face was found: a sample without one has no such file."""

METADATA: Final = "metadata.json"
SPLITS: Final = ("train", "validation")

FPS: Final = 24
MUSIC_WIDTH: Final = 4800
JOINTS: Final = 134
FACE_WIDTH: Final = 512
