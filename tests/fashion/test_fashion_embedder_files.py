"""Files of weights: both key layouts, with and without a head, and what does not fit said in words."""

import numpy as np
import pytest
import timm
import torch

from tasks.fashion.embedder import embedder_card, open_embedder, picture_for
from tasks.fashion.torchvision_keys import timm_names
from tasks.schema.errors import ModelError
from tests.fashion.made_weights import picture, seeded, torchvision_resnet, trusting


def embedded(folder, name, rgb, model):
    embedder = open_embedder(embedder_card(model, name), trusting(folder), "cpu", "torch")
    return embedder.embed([picture_for(rgb, embedder.spec)])[0]


@pytest.mark.slow
@pytest.mark.parametrize(("wrapped", "headed"), [("checkpoint", True), ("distributed", False)])
def test_a_file_in_torchvisions_layout_gives_its_embedding(tmp_path, wrapped, headed):
    resnet = torchvision_resnet("resnet18")
    state = {name: value for name, value in resnet.state_dict().items() if headed or not name.startswith("fc.")}
    if not headed:  # as files before the counters of batches were written
        state = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    if wrapped == "distributed":
        state = {f"module.{name}": value for name, value in state.items()}
    torch.save({"model": state, "epoch": 3} if wrapped == "checkpoint" else state, tmp_path / "w.pth")
    rgb = picture(3, 256, 256)
    from torchvision.models import ResNet18_Weights

    pixels = ResNet18_Weights.IMAGENET1K_V1.transforms()(torch.from_numpy(rgb).permute(2, 0, 1))
    with torch.no_grad():
        wanted = torch.nn.Sequential(*list(resnet.children())[:-1])(pixels[None]).flatten().numpy()
    np.testing.assert_allclose(embedded(tmp_path, "w.pth", rgb, "timm:resnet18.tv_in1k"), wanted, rtol=0, atol=1e-5)


def test_torchvisions_vision_transformers_speak_timm():
    from timm.models.vision_transformer import VisionTransformer
    from torchvision.models import VisionTransformer as TheirVit

    theirs = seeded(TheirVit(32, 8, 2, 2, 16, 64, num_classes=10))
    mine = VisionTransformer(32, 8, embed_dim=16, depth=2, num_heads=2, mlp_ratio=4, num_classes=10)
    mine.load_state_dict(timm_names(theirs.state_dict()), strict=True)
    pixels = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(mine.eval()(pixels), theirs(pixels), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("layer1.0.conv1.weight"), "1 missing: layer1.0.conv1.weight"),
        (lambda state: state.update(surplus=torch.ones(1)), "1 not known to it: surplus"),
        (lambda state: state.update({"bn1.bias": torch.ones(2)}), "1 of another shape: bn1.bias"),
        (lambda state: state.update(epoch=3), "holds no state dict: epoch"),
        (lambda state: state.clear(), "it is empty"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, said):
    state = dict(timm.create_model("test_resnet").state_dict())
    change(state)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=said):
        embedded(tmp_path, "w.pth", picture(0, 160, 160), "timm:test_resnet")


@pytest.mark.parametrize("name", ["w.safetensors", "w.bin"])
def test_damage_is_told(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04 this is none")
    with pytest.raises(ModelError, match="is damaged, or holds more than weights"):
        embedded(tmp_path, name, picture(0, 160, 160), "timm:test_resnet")


def test_code_in_a_file_is_not_run(tmp_path):
    torch.save(timm.create_model("test_resnet"), tmp_path / "w.pth")
    with pytest.raises(ModelError, match="save the state dict alone"):
        embedded(tmp_path, "w.pth", picture(0, 160, 160), "timm:test_resnet")
