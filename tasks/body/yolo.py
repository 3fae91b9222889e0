"""YOLO-pose in torch. The only file that touches Ultralytics (AGPL-3.0); `PoseModel` is all that others see."""

import copy
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.body.letterbox import fit_of
from tasks.body.pose_model import PersonDetections, demand_pictures
from tasks.models.card import ModelCard
from tasks.models.device import Device, Provider, cpu_threads, demand_provider, provider
from tasks.models.loaded import load_once
from tasks.models.wrapper import CardModel
from tasks.models.zoo import Zoo, verified_file
from tasks.schema.boxes import Boxes
from tasks.schema.errors import ModelError
from tasks.schema.keypoints import COCO_17, Keypoints

INPUT_SIDE: Final = 640
"""Pixels of the longer side that the network sees: what it was trained on."""

STRIDE: Final = 32
"""The shorter side is padded to a multiple of the coarsest stride of the network."""

MAX_PEOPLE: Final = 300
"""People in one picture; Ultralytics' own limit."""

GPU_BATCH: Final = 32


@dataclass(frozen=True)
class YoloPose(CardModel):
    """YOLO-pose of an Ultralytics file, as `PoseModel` says.

    Every picture is padded to the rectangle that it would get alone, so that its neighbours cannot change its result.
    On the CPU pictures go through one by one, one thread each and as many at once as there are cores: faster than
    batches there, and independent of the number of cores. On a GPU pictures of equal padded size share a batch.
    `clip_joints`: joints that the network sees beyond the picture are moved to its edge, as Ultralytics does.
    """

    device: Device = "auto"
    clip_joints: bool = True

    def execution(self) -> dict[str, str]:
        """What decides the bytes besides the weights."""
        return {
            "provider": provider(self.device),
            "precision": "fp32",
            "ultralytics": metadata.version("ultralytics"),
            "torch": metadata.version("torch").partition("+")[0],
            **({} if self.clip_joints else {"joints_beyond": "kept"}),
        }

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[PersonDetections]:
        """The people of each picture, as `PoseModel` says.

        Raises:
            ModelError: the weights are missing, damaged, or of another kind.
            ShapeError: a picture is not RGB uint8, (H, W, 3), with at least one pixel.
        """
        demand_pictures(images)
        return self._loaded().detect(images) if images else []

    def _loaded(self) -> "_Network":
        where = provider(self.device)
        # The digest of the card stands for the file: a card without one has a record that the file is checked against.
        key = ("yolo-pose", self.card.name, self.card.sha256, self.zoo, where, self.clip_joints)
        return load_once(key, lambda: _load(self.card, self.zoo, where, clip_joints=self.clip_joints))


def _load(card: ModelCard, zoo: Zoo, where: Provider, *, clip_joints: bool) -> "_Network":
    demand_provider(where)
    return _Network(read_yolo(card, zoo), where, card.thresholds, clip_joints=clip_joints)


def read_yolo(card: ModelCard, zoo: Zoo) -> Any:
    """The network of a card as a torch module, float32, on the CPU; its weights are verified before they are read.

    Raises:
        ModelError: the weights are missing, damaged, or of another kind.
    """
    verified = verified_file(card, zoo)
    with _untouched_process():
        module = _read_module(verified.path)
    if tuple(getattr(module.model[-1], "kpt_shape", ())) != (len(COCO_17), 3):
        raise ModelError(f"{verified.path} is no YOLO-pose model of the 17 COCO joints: choose another file.")
    return module


def _read_module(path: Path) -> Any:
    """The network in float32; only classes of Ultralytics and torch are unpickled.

    Batch normalisation is folded in, activations work in place, channels come last in memory: the layout that
    Ultralytics' predict takes on x86 too, about a third less time a picture.
    """
    import torch

    _import_ultralytics()
    from ultralytics.nn.tasks import torch_safe_load

    try:
        checkpoint, _ = torch_safe_load(str(path), safe_only=True)  # type: ignore[no-untyped-call]
        module = (checkpoint.get("ema") or checkpoint["model"]).float().fuse(verbose=False).eval()
    except Exception as error:  # whatever a foreign pickle raises
        raise ModelError(f"{path} does not load as an Ultralytics model: {type(error).__name__}: {error}") from error
    for part in module.modules():
        if hasattr(part, "inplace"):
            part.inplace = True
    return module.to(memory_format=torch.channels_last)


def _import_ultralytics() -> None:
    """Import all that we use, except that `PIL.Image.open` stays Pillow's own.

    Ultralytics replaces it, with one that installs packages when a picture does not open. Other threads may be decoding
    at this moment, so the module that does that comes first, alone.
    """
    name = "ultralytics.utils.patches"
    package = find_spec("ultralytics")
    if name not in sys.modules and package is not None and package.origin is not None:
        from PIL import Image

        spec = spec_from_file_location(name, Path(package.origin).parent / "utils" / "patches.py")
        if spec is not None and spec.loader is not None:
            sys.modules[name] = patches = module_from_spec(spec)
            pillows_own = Image.open
            spec.loader.exec_module(patches)
            Image.open = pillows_own
    for needed in (
        "ultralytics.nn.tasks",
        "ultralytics.data.augment",
        "ultralytics.utils.nms",
        "ultralytics.utils.ops",
    ):
        import_module(needed)


@contextmanager
def _untouched_process() -> Iterator[None]:
    """Ultralytics changes the process that imports it: none of that stays, and it finds no network and no home folder.

    It sets environment variables, thread counts, print options and warning filters, replaces `torch.save`, writes
    settings, asks who is online, installs packages, and prints.
    """
    import cv2
    import torch  # before Ultralytics, which else decides how many threads torch may use

    environment, printed = dict(os.environ), np.get_printoptions()
    save, threads, cv2_threads = torch.save, torch.get_num_threads(), cv2.getNumThreads()
    with TemporaryDirectory(prefix="mannequin-") as folder, warnings.catch_warnings():
        os.environ |= {
            "YOLO_CONFIG_DIR": folder,
            "YOLO_OFFLINE": "true",
            "YOLO_AUTOINSTALL": "false",
            "YOLO_VERBOSE": "false",
        }
        try:
            yield
        finally:
            for name in os.environ.keys() - environment.keys():
                del os.environ[name]
            os.environ |= environment
            np.set_printoptions(**printed)
            torch.set_printoptions(profile="default")  # type: ignore[no-untyped-call]
            torch.save = save
            torch.set_num_threads(threads)
            cv2.setNumThreads(cv2_threads)


class _Network:
    """The loaded network, safe to be called from several threads."""

    def __init__(self, module: Any, where: Provider, thresholds: Mapping[str, float], *, clip_joints: bool) -> None:
        self._where = where
        self._thresholds = thresholds
        self._clip_joints = clip_joints
        workers = cpu_threads() if where == "cpu" else 1
        self._free: SimpleQueue[Any] = SimpleQueue()
        for _ in range(workers):
            self._free.put(_sharing_weights(module.to(where)))
        self._pool = ThreadPoolExecutor(workers, "yolo-pose", initializer=_single_thread) if where == "cpu" else None

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[PersonDetections]:
        if self._pool is not None:
            return list(self._pool.map(lambda image: self._run([image], [_letterboxed(image)])[0], images))
        return self.detect_batched(images, GPU_BATCH)

    def detect_batched(self, images: Sequence[NDArray[np.uint8]], batch: int) -> list[PersonDetections]:
        """Pictures of equal padded size together, at most `batch` at once; results in the order of `images`."""
        padded = [_letterboxed(image) for image in images]
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, picture in enumerate(padded):
            by_shape.setdefault(picture.shape, []).append(index)
        found: dict[int, PersonDetections] = {}
        for indices in by_shape.values():
            for start in range(0, len(indices), batch):
                some = indices[start : start + batch]
                found.update(zip(some, self._run([images[i] for i in some], [padded[i] for i in some]), strict=True))
        return [found[i] for i in range(len(images))]

    def _run(self, images: Sequence[NDArray[np.uint8]], padded: Sequence[NDArray[np.uint8]]) -> list[PersonDetections]:
        import torch
        from ultralytics.utils.nms import non_max_suppression

        module = self._free.get()
        try:
            with torch.inference_mode():
                pixels = torch.from_numpy(np.stack(padded)).to(self._where).permute(0, 3, 1, 2)
                predictions = module(pixels.float().div_(255))[0]
                # One picture a call: the suppression gives up on the rest of a batch when a slow machine is slow.
                people = [
                    non_max_suppression(
                        predictions[i : i + 1],
                        self._thresholds["person"],
                        self._thresholds["nms_iou"],
                        max_det=MAX_PEOPLE,
                        nc=1,
                    )[0]
                    .cpu()
                    .numpy()
                    for i in range(len(images))
                ]
        finally:
            self._free.put(module)
        return [
            _in_pixels(rows, picture.shape, image.shape, clip_joints=self._clip_joints)
            for rows, picture, image in zip(people, padded, images, strict=True)
        ]


def _single_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _sharing_weights(module: Any) -> Any:
    """A copy with the same weights but its own buffers for anchors, which a network caches for the last input shape."""
    return copy.deepcopy(module, {id(p): p for p in module.parameters()})


def _letterboxed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scaled to fit `INPUT_SIDE`, grey up to the next multiples of `STRIDE`; channels stay RGB, which the net wants."""
    from ultralytics.data.augment import LetterBox

    boxed = LetterBox(new_shape=(INPUT_SIDE, INPUT_SIDE), auto=True, stride=STRIDE)(image=image)
    return np.asarray(boxed, np.uint8)


def _in_pixels(
    rows: NDArray[np.float32], seen: tuple[int, ...], shown: tuple[int, ...], *, clip_joints: bool
) -> PersonDetections:
    """Rows of the network (xyxy, score, class, joints) in pixels of the picture."""
    from ultralytics.utils.ops import scale_boxes, scale_coords

    boxes = scale_boxes((seen[0], seen[1]), rows[:, :4].copy(), (shown[0], shown[1]))
    joints = rows[:, 6:].reshape(-1, len(COCO_17), 3).copy()
    if clip_joints:
        joints = scale_coords(seen[:2], joints, shown[:2])
    else:
        joints[..., :2] = fit_of(shown[0], shown[1], INPUT_SIDE, STRIDE).back(joints[..., :2])
    return PersonDetections(
        Boxes(np.asarray(boxes, np.float32), rows[:, 4].copy()),
        Keypoints.from_arrays(COCO_17, joints[..., :2], joints[..., 2]),
    )
