"""KP-RPE, a ViT that also sees where the five landmarks are. Its network is code of its repository: opt-in, pinned."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray

from tasks.face.align import ARCFACE_112, ARCFACE_SIDE
from tasks.face.recogniser import CardRecogniser, Faces, demand_width, model_input
from tasks.face.recogniser_torch import TorchNetwork, torch_execution
from tasks.models.card import ModelCard
from tasks.models.device import Device, Provider, demand_provider, provider
from tasks.models.loaded import load_once
from tasks.models.zoo import Zoo, verified_file
from tasks.schema.errors import ModelError, ShapeError

ALLOW: Final = "MANNEQUIN_ALLOW_REMOTE_CODE"
"""Environment: `1` says that whoever runs this machine lets models run the code of their repositories."""

_CODE: Final = ("models/**/*.py", "models/*.py", "models/**/*.yaml", "pretrained_model/*.yaml")
_PACKAGE: Final = "mannequin_kprpe_models"
_COMPILED: Final = "vit_kprpe.RPE.rpe_ops.rpe_index"
"""A module of the repository that, imported, compiles and installs an extension; without it the network does the same
in plain torch."""


@dataclass(frozen=True)
class KprpeRecogniser(CardRecogniser):
    """KP-RPE of a card, as `Recogniser` says.

    The code is that of the pinned commit; its digest is recorded when it is first run, and must stay the same.

    Args:
        remote_code: yes to running it; the operator has to say yes too (`MANNEQUIN_ALLOW_REMOTE_CODE=1`).
    Raises:
        ModelError: nobody said yes, or only one of them.
    """

    device: Device = "auto"
    remote_code: bool = False

    def __post_init__(self) -> None:
        allowed = os.environ.get(ALLOW, "").strip().lower() in ("1", "true", "yes")
        if not (self.remote_code and allowed):
            raise ModelError(
                f"{self.card.name} runs code of {self.card.hub_repo} (commit {self.card.revision}). If you trust it, "
                f"say so twice: `remote_code` in the configuration, and {ALLOW}=1 where it runs. Or choose auraface-v1."
            )

    def execution(self) -> dict[str, str]:
        """What decides the bytes besides the weights."""
        return {**torch_execution(provider(self.device)), "code": self.card.revision}

    def embed(self, faces: Faces, landmarks: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """The raw embeddings, as `Recogniser` says.

        Raises:
            ModelError: the weights or the code are missing, damaged, or have changed.
            ShapeError: a face is not RGB uint8 of the card's side, or there are not five landmarks a face.
        """
        pixels = model_input(faces, self.spec)
        if landmarks is None:
            landmarks = np.broadcast_to((ARCFACE_112 + np.float32(0.5)) / ARCFACE_SIDE, (len(pixels), 5, 2))
        if landmarks.shape != (len(pixels), 5, 2):
            raise ShapeError(f"landmarks are ({len(pixels)}, 5, 2), not {landmarks.shape}")
        if not len(pixels):
            return np.empty((0, self.spec.width), np.float32)
        return demand_width(self._loaded().run(pixels, landmarks.astype(np.float32)), self.card, len(pixels))

    def _loaded(self) -> TorchNetwork:
        where = provider(self.device)
        key = ("kprpe-recognition", self.card.name, self.card.sha256, self.zoo, where)
        return load_once(key, lambda: _load(self.card, self.zoo, where))


def code_folder(card: ModelCard, zoo: Zoo) -> Path:
    """Where the code of a card's commit lies; a folder of that name in the given models wins."""
    name = f"{card.name}-{card.revision}"
    given = zoo.given / name if zoo.given is not None else None
    return given if given is not None and given.is_dir() else zoo.folder / name


def _load(card: ModelCard, zoo: Zoo, where: Provider) -> TorchNetwork:
    import torch

    folder = code_folder(card, zoo)
    if not folder.is_dir():
        _fetch_code(card, folder)
    _demand_same_code(folder, zoo.folder / f"{folder.name}.sha256")
    verified = verified_file(card, zoo)
    demand_provider(where)
    try:
        with _imported(folder / "models") as package, redirect_stdout(StringIO()):
            settings = yaml.safe_load((folder / "pretrained_model" / "model.yaml").read_text())
            module = package.get_model(_Settings({**settings, "start_from": "", "freeze": False}))
        weights = torch.load(verified.path, map_location="cpu", weights_only=True)
        module.load_state_dict(weights.get("state_dict", weights), strict=True)
    except ImportError as error:
        raise ModelError(f"The code of {card.name} wants the package {error.name}: install it ({error}).") from error
    except Exception as error:  # whatever foreign code raises
        raise ModelError(f"{card.name} does not load: {type(error).__name__}: {error}") from error
    return TorchNetwork(module.eval(), where, lambda net, pixels, points: net(pixels, points))


def _fetch_code(card: ModelCard, folder: Path) -> None:
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(card.hub_repo, revision=card.revision, allow_patterns=list(_CODE), local_dir=folder)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The code of {card.name} ({card.hub_repo} at {card.revision}) could not be fetched: {error}. Put its "
            f"`models` and `pretrained_model` folders into {folder}."
        ) from error


def _demand_same_code(folder: Path, record: Path) -> None:
    """Record the digest of the code when it is first run, and refuse other code from there on."""
    digest = sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".yaml") and ".cache" not in p.parts):
        digest.update(f"{path.relative_to(folder).as_posix()} {sha256(path.read_bytes()).hexdigest()}\n".encode())
    found = digest.hexdigest()
    if not record.exists():
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(f"{found}  {folder.name}\n")
    if record.read_text().split()[:1] != [found]:
        raise ModelError(f"The code in {folder} has changed since it was first run. If you trust it, remove {record}.")


@contextmanager
def _imported(folder: Path) -> Iterator[ModuleType]:
    """The repository's package `models` under a name of our own, which nothing else can have."""
    spec = spec_from_file_location(_PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)])
    if spec is None or spec.loader is None or not (folder / "__init__.py").is_file():
        raise ModelError(f"{folder} holds no Python package.")
    stand_in = ModuleType(f"{_PACKAGE}.{_COMPILED}")
    vars(stand_in)["RPEIndexFunction"] = None
    package = module_from_spec(spec)
    for name in [name for name in sys.modules if name.split(".")[0] == _PACKAGE]:
        del sys.modules[name]
    sys.modules.update({_PACKAGE: package, stand_in.__name__: stand_in})
    spec.loader.exec_module(package)
    yield package


class _Settings(dict[str, Any]):
    """Nested settings whose keys are attributes too, as the repository's code reads them."""

    def __getattr__(self, name: str) -> Any:
        try:
            value = self[name]
        except KeyError as error:
            raise AttributeError(name) from error
        return _Settings(value) if isinstance(value, dict) else value

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value
