"""Models that find faces."""

from typing import Final

from tasks.models.card import ModelCard

_RETINAFACE_THRESHOLDS: Final = {"face": 0.7, "candidate": 0.1, "nms_iou": 0.4}
"""`face`: the floor of retinaface-pytorch's `predict_jsons`; on real photos the mobilenet form gives less than that to
backs of heads, helmets and clothes without a person. `candidate`: what scores lower is not told at all. `nms_iou`: both
implementations' own."""

RETINAFACE_RESNET50: Final = ModelCard(
    name="retinaface-resnet50",
    file_name="retinaface_resnet50_2020-07-20-f168fae3c.zip",
    family="retinaface",
    url="https://github.com/ternaus/retinaface/releases/download/0.01/retinaface_resnet50_2020-07-20-f168fae3c.zip",
    revision="0.01",
    sha256=None,
    licence="MIT",
    input_spec="RGB / 255, minus ImageNet's mean, by its deviation, float32, (N, 3, H, W), any H and W",
    thresholds=_RETINAFACE_THRESHOLDS,
    origin="release of the package retinaface-pytorch, one PyTorch file in a ZIP",
)

RETINAFACE_MOBILENET025: Final = ModelCard(
    name="retinaface-mobilenet0.25",
    file_name="retinaface_mobilenet0.25_Final.pth",
    family="retinaface",
    revision="aa00934b860abc93fcdbc3bccfa0fd4260c2fd2c",
    sha256="38ec7bb3c9cbfe2f40edabc05fab970a6d648747cbc534092be85d5eb9b37ed0",
    size_bytes=1_789_735,
    licence="MIT",
    non_commercial=True,
    input_spec="BGR minus (104, 117, 123), float32, (N, 3, H, W), any H and W",
    thresholds=_RETINAFACE_THRESHOLDS,
    origin="weights/mobilenet0.25_Final.pth of m2man/Pytorch_Retinaface (trained on WIDER FACE: non-commercial data)",
)

FACE_CARDS: Final = (RETINAFACE_RESNET50, RETINAFACE_MOBILENET025)
