"""Models that say whose a face is."""

from typing import Final

from tasks.models.card import ModelCard
from tasks.models.embedding import EmbeddingSpec, GateFloors

_FLOORS: Final = GateFloors(face_side_px=32, face_score=0.7, sharpness=0.3, frontality=0.1, norm=0)
"""Of 158 good photos of 27 people these keep 98.7 %; of 1,580 blurred, shrunk, or shrunk and enlarged faces they stop
99 %. Box, score, sharpness and frontality say nothing about the model; a floor for the norm has to be measured."""

_MATCH: Final = {"match": 0.5}
"""Used only where a collection has too few photos of several people to calibrate itself: strict for all of these."""

AURAFACE_V1: Final = ModelCard(
    name="auraface-v1",
    file_name="auraface-v1_glintr100.onnx",
    family="onnx-recognition",
    hub_repo="fal/AuraFace-v1",
    hub_path="glintr100.onnx",
    revision="af6d057c9b0ec4071d4c49c80e3539258798b609",
    sha256="a7933ea5330113b01c9b60351d8f4c33003f145d8470ac5f0e52ee2effe25c60",
    size_bytes=260_694_151,
    licence="Apache-2.0",
    input_spec="RGB, (x - 127.5) / 127.5, float32, (N, 3, 112, 112), at the ArcFace points",
    thresholds=_MATCH,
    embedding=EmbeddingSpec(width=512, floors=_FLOORS),
    origin="ResNet-100 that fal trained; several unrelated projects pin this digest",
)

MOBILEFACENET_128: Final = ModelCard(
    name="mobilefacenet-128",
    file_name="mobilefacenet_128d_112.onnx",
    family="onnx-recognition",
    revision="2715cee6d1f39fc63b431a4fa14b0fc4f8334309",
    sha256="f055d9c9a4d826d198c42666590fdefa0fdc1374a75ccb6306c3d1b1bf8f74c5",
    size_bytes=3_973_728,
    licence="unknown",
    input_spec="RGB, (x - 127.5) / 128, float32, (1, 3, 112, 112), at the ArcFace points",
    thresholds=_MATCH,
    embedding=EmbeddingSpec(width=128, scale=128, floors=_FLOORS.model_copy(update={"norm": 11.0})),
    origin="models/mobilefacenet.onnx of diandianti/photo_analyze",
)


def _timm(backbone: str, loss: str) -> ModelCard:
    return ModelCard(
        name=f"{backbone}.{loss}_ms1mv3",
        file_name=f"{backbone}.{loss}_ms1mv3.safetensors",
        family="timm-recognition",
        url=f"https://huggingface.co/gaunernst/{backbone}.{loss}_ms1mv3/resolve/main/model.safetensors",
        revision="main",
        sha256=None,
        licence="MIT code; trained on MS1MV3, research only",
        non_commercial=True,
        input_spec="RGB, (x - 127.5) / 127.5, float32, (N, 3, 112, 112), at the ArcFace points",
        thresholds=_MATCH,
        embedding=EmbeddingSpec(width=512, floors=_FLOORS),
    )


TIMM_CARDS: Final = (
    _timm("vit_tiny_patch8_112", "arcface"),
    _timm("vit_tiny_patch8_112", "cosface"),
    _timm("vit_tiny_patch8_112", "adaface"),
    _timm("vit_small_patch8_gap_112", "cosface"),
)

KPRPE_VIT_BASE_WEBFACE4M: Final = ModelCard(
    name="kprpe-vit-base-webface4m",
    file_name="kprpe-vit-base-webface4m.pt",
    family="kprpe-recognition",
    hub_repo="minchul/cvlface_adaface_vit_base_kprpe_webface4m",
    hub_path="pretrained_model/model.pt",
    revision="6530d73fb0af4d1d8287f31d559780c648ebd22a",
    sha256="b8d5adde0a00f6482b5e866b6e37eeaa947302a40d9af31c211af72f34d38afb",
    size_bytes=460_381_841,
    licence="MIT code; trained on WebFace4M, research only",
    non_commercial=True,
    input_spec="RGB, (x - 127.5) / 127.5, float32, (N, 3, 112, 112), and 5 keypoints in [0, 1], (N, 5, 2)",
    thresholds=_MATCH,
    embedding=EmbeddingSpec(width=512, floors=_FLOORS),
    origin="runs code of its repository",
)

RECOGNITION_CARDS: Final = (AURAFACE_V1, MOBILEFACENET_128, *TIMM_CARDS, KPRPE_VIT_BASE_WEBFACE4M)
