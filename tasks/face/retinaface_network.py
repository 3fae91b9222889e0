"""The RetinaFace networks in torch; imported when one is loaded, never before."""

import warnings
from collections.abc import Mapping
from io import BytesIO
from typing import Final

import torch
from retinaface.net import FPN, SSH, conv_bn, conv_dw
from retinaface.network import BboxHead, ClassHead, LandmarkHead
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import resnet50
from torchvision.models._utils import IntermediateLayerGetter

LEVELS: Final = 3
ANCHORS: Final = 2
"""At each place of each level."""

Numbers = tuple[float, float, float]
"""Of red, green and blue."""

_IMAGENET_MEAN: Final = (0.485 * 255, 0.456 * 255, 0.406 * 255)
_IMAGENET_DEVIATION: Final = (0.229 * 255, 0.224 * 255, 0.225 * 255)
_CAFFE_MEAN: Final = (123.0, 117.0, 104.0)
_OPSET: Final = 17


class MobileNet(nn.Module):
    """The MobileNet 0.25 of Pytorch_Retinaface: features at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            conv_bn(3, 8, 2, leaky=0.1), conv_dw(8, 16, 1), conv_dw(16, 32, 2), conv_dw(32, 32, 1), conv_dw(32, 64, 2),
            conv_dw(64, 64, 1),
        )  # fmt: skip
        self.stage2 = nn.Sequential(conv_dw(64, 128, 2), *(conv_dw(128, 128, 1) for _ in range(5)))
        self.stage3 = nn.Sequential(conv_dw(128, 256, 2), conv_dw(256, 256, 1))

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        fine = self.stage1(pixels)
        middle = self.stage2(fine)
        return {"1": fine, "2": middle, "3": self.stage3(middle)}


class RetinaFaceNetwork(nn.Module):
    """A backbone, and RetinaFace's pyramid, context modules and heads as the package builds them.

    `forward` takes decoded pictures, RGB uint8, (N, H, W, 3), of any H and W, and gives the raw heads: boxes (N, A, 4),
    classes (N, A, 2), landmarks (N, A, 10).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, body: nn.Module, channels: list[int], width: int, mean: Numbers, deviation: Numbers) -> None:
        super().__init__()
        self.body = body
        self.fpn = FPN(channels, width)
        self.ssh1, self.ssh2, self.ssh3 = (SSH(width, width) for _ in range(LEVELS))
        self.ClassHead = nn.ModuleList(ClassHead(width, ANCHORS) for _ in range(LEVELS))
        self.BboxHead = nn.ModuleList(BboxHead(width, ANCHORS) for _ in range(LEVELS))
        self.LandmarkHead = nn.ModuleList(LandmarkHead(width, ANCHORS) for _ in range(LEVELS))
        for name, numbers in (("mean", mean), ("deviation", deviation)):
            values = torch.tensor(numbers, dtype=torch.float32, device="cpu").view(3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pixels = (pictures.permute(0, 3, 1, 2).float() - self.mean) / self.deviation
        pyramid = self.fpn(self.body(pixels))
        levels = [ssh(level) for ssh, level in zip((self.ssh1, self.ssh2, self.ssh3), pyramid, strict=True)]
        boxes, classes, landmarks = (
            torch.cat([head(level) for head, level in zip(heads, levels, strict=True)], dim=1)
            for heads in (self.BboxHead, self.ClassHead, self.LandmarkHead)
        )
        return boxes, classes, landmarks


def network_of(weights: Mapping[str, Tensor]) -> RetinaFaceNetwork:
    """The network that weights belong to, with these weights and no others, for inference.

    Batch normalisation is folded into the convolutions.

    Raises:
        RuntimeError: a weight is missing, left over, or of another shape.
    """
    plain = {name.removeprefix("module."): values for name, values in weights.items()}
    first = "body.stage1.0.0.weight"
    with torch.device("meta"):
        if first in plain:
            network = RetinaFaceNetwork(MobileNet(), [64, 128, 256], 64, _CAFFE_MEAN, (1.0, 1.0, 1.0))
            if plain[first].ndim == 4:
                plain[first] = plain[first].flip(1)  # it was trained on blue, green, red
        else:
            network = RetinaFaceNetwork(_resnet(), [512, 1024, 2048], 256, _IMAGENET_MEAN, _IMAGENET_DEVIATION)
    network.load_state_dict(plain, strict=True, assign=True)
    network.float().eval().requires_grad_(False)
    _fold(network)
    return network


def exported(network: RetinaFaceNetwork) -> bytes:
    """The network as ONNX, for one picture of any size; outputs in the order of `forward`."""
    names = ("boxes", "classes", "landmarks")
    stream = BytesIO()
    with warnings.catch_warnings():
        # The exporter that does without further packages calls itself deprecated.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 64, 96, 3, dtype=torch.uint8),),
            stream,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=_OPSET,
            input_names=["pictures"],
            output_names=list(names),
            dynamic_axes={"pictures": {1: "height", 2: "width"}, **{name: {1: "anchors"} for name in names}},
        )
    return stream.getvalue()


def _resnet() -> IntermediateLayerGetter:
    return IntermediateLayerGetter(resnet50(weights=None), {"layer2": "1", "layer3": "2", "layer4": "3"})


def _fold(module: nn.Module) -> None:
    """Put each batch normalisation into the convolution registered before it."""
    previous: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if previous and isinstance(previous[1], nn.Conv2d) and isinstance(child, nn.BatchNorm2d):
            setattr(module, previous[0], fuse_conv_bn_eval(previous[1], child))
            setattr(module, name, nn.Identity())
        else:
            _fold(child)
        previous = (name, child)
