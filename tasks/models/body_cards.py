"""Models that see people and their joints."""

from typing import Final

from tasks.models.card import ModelCard

_POSE_INPUT: Final = "RGB / 255, float32, (N, 3, H, W), longer side 640, grey (114) to multiples of 32"

_POSE_THRESHOLDS: Final = {"person": 0.25, "joint": 0.5, "nms_iou": 0.7}
"""`person` and `nms_iou`: `conf` and `iou` of Ultralytics' predict. `joint`: under it Ultralytics itself called a joint
missing, until it left that to its callers."""

YOLOV8N_POSE: Final = ModelCard(
    name="yolov8n-pose",
    file_name="yolov8n-pose.pt",
    family="ultralytics-pose",
    url="https://github.com/ultralytics/assets/releases/download/v8.3.0/yolov8n-pose.pt",
    revision="v8.3.0",
    sha256="c6fa93dd1ee4a2c18c900a45c1d864a1c6f7aba75d84f91648a30b7fb641d212",
    size_bytes=6_832_633,
    licence="AGPL-3.0",
    input_spec=_POSE_INPUT,
    thresholds=_POSE_THRESHOLDS,
    origin="Ultralytics' release asset; the digest is the one that many unrelated projects pin for it",
)

YOLOV8N_POSE_DEQUANTISED: Final = ModelCard(
    name="yolov8n-pose-dequantised",
    file_name="yolov8n-pose_dequantised_from_int8.pt",
    family="ultralytics-pose",
    revision="1d3c8391a0c8704464ae4cf3f57412e1aaac873b",
    sha256="0607c779ebc8358c1c8cd1c27fe5276cafa77e390150e8b3df9a5d5fa9eb7c0b",
    size_bytes=6_797_348,
    licence="AGPL-3.0",
    input_spec=_POSE_INPUT,
    thresholds=_POSE_THRESHOLDS,
    origin="yolov8n-pose, rebuilt from the int8 OpenVINO export in Ceyjie/testrecog",
)

RTMO_S: Final = ModelCard(
    name="rtmo-s",
    file_name="rtmo-s_8xb32-600e_body7-640x640-dac2bf74_20231211.zip",
    family="onnx-pose",
    url="https://download.openmmlab.com/mmpose/v1/projects/rtmo/onnx_sdk/rtmo-s_8xb32-600e_body7-640x640-dac2bf74_20231211.zip",
    revision="dac2bf74_20231211",
    sha256="3da7ad88b209f9da8be87ba5c325610639af04de3b5c8a96649b98cd9e2848a2",
    size_bytes=36_442_532,
    licence="Apache-2.0",
    input_spec="BGR 0 to 255, float32, (N, 3, 640, 640), longer side 640, grey (114) around",
    thresholds={"person": 0.15, "joint": 0.5, "nms_iou": 0.65},
    origin="OpenMMLab's model zoo; unrelated projects pin the digests of the zip and of the network in it",
)
"""`person` and `nms_iou` are in the network itself. `joint`: its visibility is a probability, so more likely seen than
not."""

BODY_CARDS: Final = (YOLOV8N_POSE, YOLOV8N_POSE_DEQUANTISED, RTMO_S)
