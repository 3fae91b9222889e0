"""RetinaFace against the package that it comes from, the ONNX network that others export, and real faces."""

import io
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest

from tasks.face.belonging import overlap
from tasks.face.face_detector import FaceDetections, open_face_detector
from tasks.face.retinaface import MAX_SIDE, RetinaFace, faces_of
from tasks.face.retinaface_priors import priors
from tasks.images.decode import decode_rgb
from tasks.models.card import ModelCard
from tasks.models.face_cards import FACE_CARDS, RETINAFACE_MOBILENET025
from tasks.models.zoo import Zoo
from tasks.schema.boxes import Boxes
from tasks.schema.errors import ModelError, ShapeError
from tests.models.model_contract import assert_batched_equals_single

FACES = {"couple_two_faces": 2, "three_faces_13": 3, "selfie_six_people": 6, "no_face": 0}


def a_card(path: Path, **changes) -> ModelCard:
    """A card of a file that the test made."""
    fields = {"file_name": path.name, "sha256": sha256(path.read_bytes()).hexdigest(), "size_bytes": None, **changes}
    return RETINAFACE_MOBILENET025.model_copy(update={"name": path.stem.lower(), **fields})


def seeded(network) -> dict:
    """Weights of a network, drawn anew so that features keep their size from layer to layer."""
    import torch

    torch.manual_seed(11)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1)
            torch.nn.init.normal_(module.bias, 0, 0.1)
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.state_dict()


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> RetinaFace:
    """The mobilenet form with seeded weights, in torch."""
    import torch

    from tasks.face.retinaface_network import MobileNet, RetinaFaceNetwork

    folder = tmp_path_factory.mktemp("models")
    network = RetinaFaceNetwork(MobileNet(), [64, 128, 256], 64, (123.0, 117.0, 104.0), (1.0, 1.0, 1.0))
    path = folder / "seeded.pth"
    torch.save({f"module.{name}": values for name, values in seeded(network).items()}, path)
    return RetinaFace(a_card(path), Zoo(tmp_path_factory.mktemp("zoo"), folder), "cpu", "torch")


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 255, (height, width, 3), np.uint8) for height, width in ((64, 96), (33, 50), (64, 96), (8, 9))
    ]


def arrays(faces: FaceDetections) -> list[np.ndarray]:
    return [faces.boxes.xyxy, faces.boxes.score, faces.landmarks]


@pytest.mark.parametrize("size", [(640, 640), (37, 211), (1, 1), (96, 33)])
def test_priors_are_those_of_the_package(size):
    from retinaface.prior_box import priorbox

    theirs = priorbox([[16, 32], [64, 128], [256, 512]], [8, 16, 32], False, size).numpy()
    np.testing.assert_allclose(priors(*size), theirs * np.tile(size[::-1], 2), atol=1e-3)
    assert priors(*size) is priors(*size)


@pytest.mark.slow
def test_a_picture_does_not_depend_on_its_neighbours(small, pictures):
    assert_batched_equals_single(small.detect, pictures, arrays, tolerance=0)
    assert any(len(faces) for faces in small.detect(pictures))


@pytest.mark.slow
def test_batches_as_on_a_gpu_give_the_same(small, pictures):
    network = small._loaded()
    assert_batched_equals_single(lambda p: network.detect_batched(p, 2), pictures, arrays, tolerance=1e-3)


@pytest.mark.slow
def test_exported_heads_are_those_of_torch(small, pictures):
    fast = RetinaFace(small.card, small.zoo, "cpu")
    assert fast.execution()["runtime"] != small.execution()["runtime"]
    for picture in pictures:
        for ours, theirs in zip(fast._loaded().heads(picture[None]), small._loaded().heads(picture[None]), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_large_pictures_are_shrunk_and_answers_are_not(small):
    picture = np.random.default_rng(1).integers(0, 255, (MAX_SIDE // 4, MAX_SIDE * 2, 3), np.uint8)
    by_hand = cv2.resize(picture, (MAX_SIDE, MAX_SIDE // 8), interpolation=cv2.INTER_AREA)
    large, shrunk = small.detect([picture])[0], small.detect([by_hand])[0]
    np.testing.assert_allclose(large.boxes.xyxy, shrunk.boxes.xyxy * 2, rtol=1e-5)


def test_faces_scale_about_the_edge_of_the_frame():
    faces = FaceDetections(
        Boxes(np.array([[0, 0, 8, 4]], np.float32), np.ones(1, np.float32)), np.full((1, 5, 2), 3.5, np.float32)
    )
    twice = faces.scaled(2, 4)
    np.testing.assert_array_equal(twice.boxes.xyxy, [[0, 0, 16, 16]])
    np.testing.assert_array_equal(twice.landmarks[0, 0], [7.5, 15.5])


def test_heads_without_sense_give_no_faces():
    count = len(priors(16, 16))
    heads = [np.full((count, n), v, np.float32) for n, v in ((4, np.inf), (2, 0.0), (10, 1.0))]
    assert not len(faces_of(heads, 16, 16, {"candidate": 0.1, "nms_iou": 0.4}))
    heads = [np.full((count, n), np.nan, np.float32) for n in (4, 2, 10)]
    assert not len(faces_of(heads, 16, 16, {"candidate": 0.1, "nms_iou": 0.4}))


@pytest.mark.parametrize(
    "picture", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_only_rgb_pictures_are_taken(small, picture):
    with pytest.raises(ShapeError):
        small.detect([picture])


@pytest.mark.parametrize("kind", ["not torch", "not a network", "not a table", "cut", "a pickle that runs code"])
def test_what_is_no_retinaface_says_so(tmp_path, kind):
    import torch

    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    stream = io.BytesIO()
    torch.save({"not a network": {"a": torch.zeros(3)}, "not a table": [1, 2]}.get(kind, {"evil": Evil()}), stream)
    content = {"not torch": b"nothing of the kind" * 9, "cut": stream.getvalue()[:200]}.get(kind, stream.getvalue())
    path = tmp_path / "bad.zip"
    path.write_bytes(content)
    model = RetinaFace(
        a_card(path, name=f"bad-{kind.replace(' ', '-')}"), Zoo(tmp_path / "zoo", tmp_path), "cpu", "torch"
    )
    with pytest.raises(ModelError, match=r"bad\.zip"):
        model.detect([np.zeros((32, 32, 3), np.uint8)])


def test_weights_in_a_zip_are_read_as_the_hub_of_torch_does(small, tmp_path):
    inside = small.zoo.given / small.card.file_name
    path = tmp_path / "zipped.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(inside, "weights.pth")
    zipped = RetinaFace(a_card(path), Zoo(tmp_path / "zoo", tmp_path), "cpu", "torch")
    picture = np.full((40, 40, 3), 90, np.uint8)
    for ours, theirs in zip(arrays(zipped.detect([picture])[0]), arrays(small.detect([picture])[0]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = (
        "import sys; from pathlib import Path; from tasks.models.zoo import Zoo\n"
        "from tasks.face.faces import FindFaces, FacesConfig\n"
        "stage = FindFaces(FacesConfig(detector='retinaface-mobilenet0.25'), Zoo(Path('/none')))\n"
        "stage.models(), stage.execution(), stage.params()\n"
        "heavy = {'torch', 'torchvision', 'retinaface', 'albumentations', 'openvino', 'onnxruntime'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_every_card_opens(tmp_path):
    for card in FACE_CARDS:
        assert open_face_detector(card.name, Zoo(tmp_path), "cpu").name == card.name
        assert {"face", "candidate", "nms_iou"} <= card.thresholds.keys()


@pytest.mark.slow
def test_raw_heads_of_a_seeded_resnet50_are_those_of_the_package(tmp_path):
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from retinaface.network import RetinaFace as Package

        layers = {"layer2": 1, "layer3": 2, "layer4": 3}
        package = Package("Resnet50", pretrained=False, return_layers=layers, in_channels=256, out_channels=256)
    weights = seeded(package)
    path = tmp_path / "resnet.pth"
    torch.save(weights, path)
    picture = np.random.default_rng(2).integers(0, 255, (160, 224, 3), np.uint8)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]) * 255, torch.tensor([0.229, 0.224, 0.225]) * 255
    with torch.inference_mode():
        pixels = ((torch.from_numpy(picture).float() - mean) / deviation).permute(2, 0, 1)[None]
        theirs = [head.numpy() for head in package.eval()(pixels)]
    assert min(np.abs(head).max() for head in theirs) > 0.3
    for runtime in ("openvino", "torch"):
        model = RetinaFace(a_card(path), Zoo(tmp_path / "zoo", tmp_path), "cpu", runtime)
        for ours, head in zip(model._loaded().heads(picture[None]), theirs, strict=True):
            np.testing.assert_allclose(ours, head, atol=1e-3)


@pytest.fixture(scope="module")
def real(real_data, tmp_path_factory) -> RetinaFace:
    return RetinaFace(RETINAFACE_MOBILENET025, Zoo(tmp_path_factory.mktemp("zoo"), real_data / "models"), "cpu")


@pytest.mark.real
@pytest.mark.parametrize("photo", FACES)
def test_every_face_of_a_photo_is_found_and_none_where_there_is_none(real, real_data, photo):
    faces = real.detect([decode_rgb((real_data / "people" / "faces" / f"{photo}.jpg").read_bytes())])[0]
    assert (faces.boxes.score >= real.card.thresholds["face"]).sum() == FACES[photo]


def order_of_running(names) -> list[str]:
    """Of the two convolutions that merge levels, the one registered last runs first."""
    names = list(names)
    first, second = ([name for name in names if name.startswith(f"fpn.merge{i}.")] for i in (1, 2))
    start = names.index(first[0])
    return [*names[:start], *second, *first, *names[start + len(first) + len(second) :]]


def weights_of(onnx_file: Path) -> dict:
    """Weights that others exported, in the form that `RetinaFace` reads: their normalisation is folded in already."""
    import torch
    from onnx import load, numpy_helper

    from tasks.face.retinaface_network import MobileNet, RetinaFaceNetwork

    graph = load(onnx_file).graph
    held = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    convolutions = iter([node.input[1:] for node in graph.node if node.op_type == "Conv"])
    blank = RetinaFaceNetwork(MobileNet(), [64, 128, 256], 64, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)).state_dict()
    weights = {}
    for name in order_of_running(blank):
        values = blank[name]
        if name in held:
            weights[name] = torch.from_numpy(held[name].copy())
        elif values.ndim == 4:
            kernel, bias = next(convolutions)
            weights[name] = torch.from_numpy(held[kernel].copy())
            shift = torch.from_numpy(held[bias].copy())
        elif name.endswith("running_var"):
            weights[name] = torch.full_like(values, 1 - 1e-5)
        elif name.endswith(".bias"):
            weights[name] = shift
        else:
            weights[name] = torch.ones_like(values) if name.endswith(".weight") else torch.zeros_like(values)
    return weights


@pytest.mark.real
def test_boxes_are_those_of_the_network_that_others_exported(real_data, tmp_path):
    """The file holds another training of the mobilenet form: its weights in our network, against its own heads."""
    import onnxruntime
    import torch
    from retinaface.box_utils import decode
    from retinaface.prior_box import priorbox
    from torchvision.ops import nms

    onnx_file = real_data / "models" / "retinaface_mobilenet0.25_640.onnx"
    path = tmp_path / "theirs.pth"
    torch.save(weights_of(onnx_file), path)
    ours = RetinaFace(a_card(path), Zoo(tmp_path / "zoo", tmp_path), "cpu")
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    prior = priorbox([[16, 32], [64, 128], [256, 512]], [8, 16, 32], False, (640, 640))
    compared = 0
    for photo in FACES:
        picture = decode_rgb((real_data / "people" / "faces" / f"{photo}.jpg").read_bytes())
        picture = cv2.resize(picture, (640, 640), interpolation=cv2.INTER_AREA)
        bgr = picture[..., ::-1].astype(np.float32) - np.array([104, 117, 123], np.float32)
        raw = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(bgr.transpose(2, 0, 1)[None])})
        scores = torch.from_numpy(raw[1][0, :, 1])
        boxes = decode(torch.from_numpy(raw[0][0]), prior, [0.1, 0.2]) * 640
        sure = scores > 0.5
        best = nms(boxes[sure], scores[sure], 0.4)
        theirs = boxes[sure][best].numpy()
        found = ours.detect([picture])[0]
        mine = found.boxes.xyxy[found.boxes.score > 0.5]
        assert len(mine) == len(theirs)
        for box, other in zip(mine, theirs, strict=True):
            assert overlap(box, other) >= 0.99
            compared += 1
    assert compared >= 10
