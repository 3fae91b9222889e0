"""Models that say what a photo looks like."""

from typing import Final

from tasks.models.card import ModelCard
from tasks.models.image_spec import ImageSpec

RESNET50_TV_IN1K: Final = ModelCard(
    name="resnet50-tv-in1k",
    file_name="resnet50-0676ba61.pth",
    family="timm-image",
    url="https://download.pytorch.org/models/resnet50-0676ba61.pth",
    revision="IMAGENET1K_V1",
    sha256="0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
    size_bytes=102_530_333,
    licence="BSD-3-Clause code; trained on ImageNet-1k, whose photos have terms of their own",
    input_spec="RGB, shorter side to 256 (bilinear, antialiased), centre 224 x 224, ImageNet mean and std",
    image=ImageSpec(
        architecture="resnet50.tv_in1k",
        width=2048,
        side=(224, 224),
        resized=(256, 256),
        interpolation="bilinear",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
    origin="torchvision's ResNet50, which timm calls resnet50.tv_in1k; several unrelated projects pin this digest",
)

FASHION_CARDS: Final = (RESNET50_TV_IN1K,)
