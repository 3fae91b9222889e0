"""By which parameter of a flow a model is chosen: what an error about a model says beside the model's name."""

from typing import Final

from tasks.models.card import Family

_BODIES: Final = (
    "pose_templates: config.keypoints.pose_model",
    "webbody: config.bodies.model",
    "music_to_pose: config.poses.pose_model",
)
_RECOGNITION: Final = ("webbody: config.recognition.model", "music_to_pose: config.reference.recogniser")
_PICTURES: Final = ("runway_street: config.embedding.model",)

PARAMETERS: Final[dict[Family, tuple[str, ...]]] = {
    "ultralytics-pose": _BODIES,
    "onnx-pose": _BODIES,
    "onnx-wholebody": ("music_to_pose: config.poses.pose_model",),
    "retinaface": ("webbody: config.faces.model", "music_to_pose: config.reference.detector"),
    "onnx-recognition": _RECOGNITION,
    "timm-recognition": _RECOGNITION,
    "kprpe-recognition": _RECOGNITION,
    "timm-image": _PICTURES,
    "open-clip-image": _PICTURES,
}
"""Flows and the paths of their parameters, by the family of the model."""


def parameters_of(family: Family) -> str:
    """The parameters that choose a model of a family, for a person."""
    return ", ".join(PARAMETERS[family])
