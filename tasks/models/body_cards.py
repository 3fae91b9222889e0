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

_WHOLEBODY_INPUT: Final = (
    "RGB, ImageNet mean and deviation, float32, (N, 3, 384, 288), box padded 1.25 to 3:4, black around"
)

_WHOLEBODY_THRESHOLDS: Final = {"person": 0.3, "joint": 0.5}
"""On calibrated confidences (see `SCORE_AT_HALF`). `person`: mean of the 18 joints of the body, under which a box shows
nobody; our choice."""

RTMW_L_384: Final = ModelCard(
    name="rtmw-l-384",
    file_name="rtmw-dw-x-l_simcc-cocktail14_270e-384x288_20231122.zip",
    family="onnx-wholebody",
    url="https://download.openmmlab.com/mmpose/v1/projects/rtmw/onnx_sdk/rtmw-dw-x-l_simcc-cocktail14_270e-384x288_20231122.zip",
    revision="20231122",
    sha256="a87e1af41a0a067776dba7d46e1c21c8f6e9f18e247e0e606718dd1f31e96ffd",
    size_bytes=213_433_855,
    licence="Apache-2.0",
    input_spec=_WHOLEBODY_INPUT,
    thresholds=_WHOLEBODY_THRESHOLDS,
    origin="OpenMMLab's model zoo; unrelated projects pin the digests of the zip and of the network in it",
)

DWPOSE_L_384: Final = ModelCard(
    name="dwpose-l-384",
    file_name="dw-ll_ucoco_384.onnx",
    family="onnx-wholebody",
    hub_repo="yzd-v/DWPose",
    hub_path="dw-ll_ucoco_384.onnx",
    revision="f7c16a3d45ad3783db41471848c80fbc281cabac",
    sha256="724f4ff2439ed61afb86fb8a1951ec39c6220682803b4a8bd4f598cd913b1843",
    size_bytes=134_399_116,
    licence="Apache-2.0",
    input_spec=_WHOLEBODY_INPUT,
    thresholds=_WHOLEBODY_THRESHOLDS,
    origin="DWPose's authors on the hub; unrelated projects pin its digest",
)

SCORE_AT_HALF: Final = {RTMW_L_384.name: 2.0, DWPOSE_L_384.name: 0.3}
"""The raw score that means "as likely there as not", a confidence of 0.5; raw scores here have no upper end.

RTMW: users of the file report 3 to 8 for joints in sight and cut at 2. DWPose: its own annotator draws from 0.3 on.
Neither was measured on annotated joints here.
"""

BODY_CARDS: Final = (YOLOV8N_POSE, YOLOV8N_POSE_DEQUANTISED, RTMO_S, RTMW_L_384, DWPOSE_L_384)
