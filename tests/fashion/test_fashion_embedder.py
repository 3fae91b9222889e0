"""Embedders by name, pictures as their libraries make them, and the same embeddings whatever runs them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.fashion.embed import Embed, EmbedConfig
from tasks.fashion.embedder import embedder_card, open_embedder, picture_for
from tasks.images.decode import decode_rgb
from tasks.models.fashion_cards import RESNET50_TV_IN1K
from tasks.models.image_spec import ImageSpec
from tasks.models.zoo import Zoo
from tasks.schema.errors import ModelError, ShapeError
from tasks.schema.rejections import Reason, RefusedError
from tests.fashion.made_weights import picture, tiny_clip, torchvision_resnet, trusting, write_resnet
from tests.models.model_contract import assert_batched_equals_single

SHAPES = [(300, 401), (97, 640), (403, 302)]


def a_spec(**changes) -> ImageSpec:
    told = {"architecture": "a", "width": 8, "side": (224, 224), "resized": (256, 256)}
    return ImageSpec(**told | changes, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def transformed(transform, rgb: np.ndarray) -> np.ndarray:
    """What a library's own transform makes, before it normalises, uint8 (H, W, 3)."""
    import torchvision.transforms as t

    kept = [each for each in transform.transforms if not isinstance(each, t.Normalize)]
    values = t.Compose(kept)(Image.fromarray(rgb))
    return np.rint(values.numpy().transpose(1, 2, 0) * 255).astype(np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_seeds_model_sees_torchvisions_picture(shape):
    from torchvision.models import ResNet50_Weights
    from torchvision.transforms.functional import normalize, to_tensor

    rgb = picture(0, *shape)
    spec = RESNET50_TV_IN1K.image
    mine = normalize(to_tensor(picture_for(rgb, spec)), spec.mean, spec.std)
    theirs = ResNet50_Weights.IMAGENET1K_V1.transforms()(Image.fromarray(rgb))
    np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("mode", "fit"), [("center", "cover"), ("squash", "squash"), ("border", "contain")])
@pytest.mark.parametrize("side", [(224, 224), (160, 96)])
def test_pictures_are_those_of_timm(shape, mode, fit, side):
    from timm.data.transforms_factory import transforms_imagenet_eval

    rgb = picture(1, *shape)
    transform = transforms_imagenet_eval(side, crop_pct=0.9, crop_mode=mode, interpolation="bicubic", mean=(0.5,) * 3)
    resized = tuple(int(each / 0.9) for each in side)
    spec = a_spec(side=side, resized=resized, fit=fit, interpolation="bicubic", paper=(128, 128, 128))
    np.testing.assert_array_equal(picture_for(rgb, spec), transformed(transform, rgb))


def test_a_strip_is_not_enlarged_to_gigabytes():
    with pytest.raises(RefusedError, match="1 x 60000 pixels") as refused:
        picture_for(np.zeros((60000, 1, 3), np.uint8), a_spec())
    assert refused.value.reason is Reason.IMAGE_TOO_SMALL


def test_the_seeds_model_is_torchvisions_file():
    card = embedder_card("resnet50-tv-in1k")
    assert card.sha256.startswith("0676ba61")
    assert card.file_name == "resnet50-0676ba61.pth" in card.url


def test_the_seeds_card_says_what_timm_says():
    of_timm = embedder_card("timm:resnet50.tv_in1k").image
    assert of_timm.model_copy(update={"paper": (0, 0, 0)}) == RESNET50_TV_IN1K.image


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("resnet51", "Choose one of: resnet50-tv-in1k; or timm:"),
        ("timm:resnet51", "near it are resnet5"),
        ("timm:resnet18.nobody", r"near it are resnet18\."),
        ("open_clip:ViT-B-33", "near it are ViT-B"),
        ("open_clip:ViT-B-32.nobody", "choose one of: openai"),
        ("open_clip:ViT-B-32.openai", "choose ViT-B-32-quickgelu.openai"),
        ("open_clip:ViT-L-14", "name yours"),
    ],
)
def test_unknown_names_say_what_there_is(model, said):
    with pytest.raises(ModelError, match=said):
        embedder_card(model)


def test_a_known_card_keeps_its_file():
    with pytest.raises(ModelError, match="name an architecture"):
        embedder_card("resnet50-tv-in1k", "mine.pth")


def test_siglip_is_squashed_as_its_weights_want():
    spec = embedder_card("open_clip:ViT-B-16-SigLIP").image
    assert (spec.fit, spec.mean, spec.width) == ("squash", (0.5, 0.5, 0.5), 768)


def test_weights_that_are_not_here_say_what_to_fetch_and_where_to_put_it(tmp_path):
    card = embedder_card("timm:resnet18.tv_in1k")
    said = r"model.safetensors of timm/resnet18.tv_in1k.*Put the right file at .*timm-resnet18.tv_in1k.safetensors"
    with pytest.raises(ModelError, match=said):
        _ = open_embedder(card, trusting(tmp_path), "cpu").sha256


def test_weights_of_unknown_digest_need_a_yes(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    with pytest.raises(ModelError, match="MANNEQUIN_TRUST_FIRST_DOWNLOAD"):
        _ = open_embedder(embedder_card("timm:test_resnet", "w.safetensors"), Zoo(tmp_path), "cpu").sha256


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the weights of a CLIP of 32 px, whole."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("tiny")
    save_file(tiny_clip(folder).state_dict(), folder / "clip.safetensors")
    return folder


@pytest.mark.parametrize("runtime", ["torch", "openvino", "onnxruntime"])
def test_batched_equals_single_in_every_runtime(tiny, runtime):
    embedder = open_embedder(embedder_card("open_clip:tiny-clip", "clip.safetensors"), trusting(tiny), "cpu", runtime)
    pictures = [picture(seed, 32, 32) for seed in range(5)]
    assert_batched_equals_single(embedder.embed, pictures, lambda row: [row], tolerance=0)


def test_open_clip_embeds_as_open_clip_does(tiny):
    import open_clip
    import torch

    embedder = open_embedder(embedder_card("open_clip:tiny-clip", "clip.safetensors"), trusting(tiny), "cpu")
    whole, _, preprocess = open_clip.create_model_and_transforms("tiny-clip", str(tiny / "clip.safetensors"))
    rgb = picture(7, 60, 45)
    with torch.no_grad():
        theirs = whole.eval().encode_image(preprocess(Image.fromarray(rgb))[None])[0].numpy()
    np.testing.assert_allclose(embedder.embed([picture_for(rgb, embedder.spec)])[0], theirs, rtol=0, atol=1e-5)


def test_pictures_of_another_size_are_refused(tiny):
    embedder = open_embedder(embedder_card("open_clip:tiny-clip", "clip.safetensors"), trusting(tiny), "cpu")
    with pytest.raises(ShapeError, match=r"\(32, 32, 3\)"):
        embedder.embed([picture(0, 31, 32)])


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["torchvision", "timm", "timm without a head"])
def test_resnet50_embeds_as_torchvision_does(tmp_path, layout):
    """Largest difference allowed: 1e-5."""
    import timm
    import torch
    from safetensors.torch import save_file
    from torchvision.models import ResNet50_Weights

    theirs = torchvision_resnet()
    if layout == "torchvision":
        path = write_resnet(tmp_path / "w.pth")
    else:
        path = tmp_path / "w.safetensors"
        heads = 1000 if layout == "timm" else 0
        network = timm.create_model("resnet50", pretrained=False, num_classes=heads)
        network.load_state_dict(theirs.state_dict(), strict=bool(heads))
        save_file(network.state_dict(), path)
    theirs.fc = torch.nn.Identity()
    embedder = open_embedder(embedder_card("timm:resnet50.tv_in1k", path.name), trusting(tmp_path), "cpu")
    photos = [picture(seed, 300, 400) for seed in range(3)]
    transform = ResNet50_Weights.IMAGENET1K_V1.transforms()
    with torch.no_grad():
        wanted = theirs(torch.stack([transform(Image.fromarray(photo)) for photo in photos])).numpy()
    made = embedder.embed([picture_for(photo, embedder.spec) for photo in photos])
    assert made.shape == (3, 2048)
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-5)


@pytest.mark.real
def test_real_photos_embed_as_torchvision_does(real_data, tmp_path):
    import torch
    from torchvision.models import ResNet18_Weights

    theirs = torchvision_resnet("resnet18")
    config = EmbedConfig(model="timm:resnet18.tv_in1k", weights=write_resnet(tmp_path / "w.pth", "resnet18").name)
    embedder = Embed(config, trusting(tmp_path), "cpu").embedder
    theirs.fc = torch.nn.Identity()
    transform = ResNet18_Weights.IMAGENET1K_V1.transforms()
    paths = sorted((real_data / "people").glob("*/**/*.jpg"))[::12]
    pictures = [picture_for(decode_rgb(path.read_bytes()), embedder.spec) for path in paths]
    with torch.no_grad():
        wanted = [theirs(transform(Image.open(path).convert("RGB"))[None])[0].numpy() for path in paths]
    np.testing.assert_allclose(embedder.embed(pictures), np.stack(wanted), rtol=0, atol=1e-5)
