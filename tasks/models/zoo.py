"""From a card to a file whose bytes are known: nothing is unpickled before its digest holds."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Final, Self
from zipfile import is_zipfile

from tasks.models.card import ModelCard
from tasks.models.cards import cards_of
from tasks.models.download import DownloadError, fetch
from tasks.models.parameters import parameters_of
from tasks.schema.errors import ModelError
from tasks.schema.home import model_folder
from tasks.shards.files import LocalFiles, disk_errors_explained, temporary

GIVEN: Final = "MANNEQUIN_MODELS"
"""Environment: a folder of weights that is looked in first and never written to."""

TRUST: Final = "MANNEQUIN_TRUST_FIRST_DOWNLOAD"
"""Environment: `1` says yes to weights whose digest nobody can know."""

_LFS: Final = b"version https://git-lfs"
_ZIPS: Final = (".pt", ".pth")
_SWEEP_AFTER_S: Final = 24 * 3600

_files = LocalFiles()


@dataclass(frozen=True)
class Zoo:
    """Where weights live.

    Args:
        folder: absolute; downloads go here, and the digests that were recorded on first use.
        given: absolute; looked in first, never written to.
        trust_unknown_digest: load weights whose digest nobody can know, and record it the first time.
    Raises:
        ModelError: a folder is not absolute, or `given` is not there.
    """

    folder: Path
    given: Path | None = None
    trust_unknown_digest: bool = False

    def __post_init__(self) -> None:
        if not self.folder.is_absolute() or (self.given is not None and not self.given.is_absolute()):
            raise ModelError(f"Folders of models must be absolute paths, not {self.folder} and {self.given}.")
        if self.given is not None and not self.given.is_dir():
            raise ModelError(f"{GIVEN}={self.given} is not a folder: correct it, or unset it.")

    @classmethod
    def from_environment(cls) -> Self:
        """The zoo that `MANNEQUIN_MODELS`, `MANNEQUIN_HOME` and `MANNEQUIN_TRUST_FIRST_DOWNLOAD` describe."""
        given = os.environ.get(GIVEN)
        return cls(
            folder=model_folder(),
            given=Path(given).expanduser().absolute() if given else None,
            trust_unknown_digest=os.environ.get(TRUST, "").strip().lower() in ("1", "true", "yes"),
        )

    def find(self, card: ModelCard) -> Path | None:
        """The card's file, in the given folder or in ours; nothing is read."""
        for folder in (self.given, self.folder):
            if folder is not None and (folder / card.file_name).exists():
                return folder / card.file_name
        return None

    def record_path(self, card: ModelCard) -> Path:
        """Where the digest of a file is kept that nobody else knows; in the form that `sha256sum --check` reads."""
        return self.folder / f"{card.file_name}.sha256"

    def recorded(self, card: ModelCard) -> str | None:
        """The digest that was recorded on first use.

        Raises:
            ModelError: the record is not one.
        """
        try:
            words = self.record_path(card).read_text().split()
        except FileNotFoundError:
            return None
        if not words or len(words[0]) != 64:
            raise ModelError(f"{self.record_path(card)} holds no sha256: remove it to record the file anew.")
        return words[0]


@dataclass(frozen=True)
class VerifiedModel:
    """A file whose bytes have the digest that they should have."""

    path: Path
    sha256: str


def verified_file(card: ModelCard, zoo: Zoo) -> VerifiedModel:
    """Find a model's file, or download it, and check its bytes.

    Raises:
        ModelError: it is not there and cannot be had, it is damaged or another file, or nobody knows its digest and
            nobody said yes to that.
        StoreError: the folder of models cannot be written.
    """
    path = zoo.find(card) or _download(card, zoo)
    return VerifiedModel(path, _checked(card, zoo, path, str(path)))


def digest_of(card: ModelCard, zoo: Zoo) -> str:
    """The sha256 of a model without loading it: the card's, or the recorded one, or that of the file fetched now.

    Raises:
        ModelError: as `verified_file`, where the card does not know the digest.
    """
    return card.sha256 or zoo.recorded(card) or verified_file(card, zoo).sha256


def _checked(card: ModelCard, zoo: Zoo, path: Path, called: str) -> str:
    """The digest of a file that is what it should be; `called` is what messages call it."""
    _demand_weights(card, path, called)
    with path.open("rb", buffering=0) as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    if card.sha256 is not None:
        if digest != card.sha256:
            raise ModelError(
                f"{called} is not the file of the model {card.name}: its sha256 is {digest}, the card says "
                f"{card.sha256}. {_remedy(card, zoo)}"
            )
        return digest
    recorded = zoo.recorded(card)
    if recorded is None:
        _demand_trust(card, zoo, f"the sha256 of {called} is {digest}")
        recorded = _record(card, zoo, digest)
    if digest != recorded:
        raise ModelError(
            f"{called} has changed: its sha256 is {digest}, on first use it was {recorded}. If you trust the new file, "
            f"remove {zoo.record_path(card)}."
        )
    return digest


def _demand_weights(card: ModelCard, path: Path, called: str) -> None:
    """Say in words what is wrong with a file that cannot be the model, before its digest says it in numbers."""
    size = path.stat().st_size if path.is_file() else 0
    if not size:
        raise ModelError(f"{called} is empty, or not a file: it should be the weights of {card.name}.")
    with path.open("rb") as stream:
        head = stream.read(len(_LFS))
    if head == _LFS:
        raise ModelError(
            f"{called} is a git-LFS pointer, not the weights of {card.name}: run `git lfs pull` where it comes from, "
            "and copy the real file."
        )
    if card.size_bytes is not None and size < card.size_bytes:
        raise ModelError(f"{called} is cut short: {size:,} of the {card.size_bytes:,} bytes of {card.name}.")
    if card.sha256 is None and Path(card.file_name).suffix in _ZIPS and not is_zipfile(path):
        raise ModelError(f"{called} is damaged or cut short: it is no PyTorch file.")


def _demand_trust(card: ModelCard, zoo: Zoo, found: str) -> None:
    if not zoo.trust_unknown_digest:
        raise ModelError(
            f"Nobody has published the digest of {card.file_name}, the file of the model {card.name} ({card.source}); "
            f"{found}. Loading it may run whatever code it holds. If you trust it, say so with {TRUST}=1: its digest "
            "is recorded then, and must stay the same from there on."
        )


def _record(card: ModelCard, zoo: Zoo, digest: str) -> str:
    """Record a digest, unless another process was first; returns the one that counts."""
    written = temporary(zoo.folder)
    with disk_errors_explained(zoo.folder):
        try:
            with _files.create(written) as stream:
                stream.write(f"{digest}  {card.file_name}\n".encode())
                _files.sync(stream)
            _files.link_exclusive(written, zoo.record_path(card))
        finally:
            _files.remove(written)
    return zoo.recorded(card) or digest


def _download(card: ModelCard, zoo: Zoo) -> Path:
    """Fetch to a temporary name, check, and only then give the file its name; of two processes the first wins."""
    what = f"{card.file_name}, the file of the model {card.name}, is not here"
    if not card.downloadable:
        raise ModelError(f"{what} and cannot be downloaded ({card.source}). {_remedy(card, zoo)}")
    if card.sha256 is None and zoo.recorded(card) is None:
        _demand_trust(card, zoo, "it is not here yet")
    target, part = zoo.folder / card.file_name, temporary(zoo.folder)
    with disk_errors_explained(zoo.folder):
        _sweep(zoo.folder)
        try:
            with _files.create(part) as stream:
                url = fetch(card, stream)
                _files.sync(stream)
            _checked(card, zoo, part, f"What {url} sent")
            _files.link_exclusive(part, target)
            _files.sync_folder(zoo.folder)
        except DownloadError as failure:
            raise ModelError(
                f"{what} and could not be downloaded from {failure.url}: {failure}. {_remedy(card, zoo)}"
            ) from failure
        finally:
            _files.remove(part)
    return target


def _sweep(folder: Path) -> None:
    """Remove what killed downloads left behind, a day later."""
    for path in folder.glob("*.part"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - _SWEEP_AFTER_S:
                path.unlink()


def _remedy(card: ModelCard, zoo: Zoo) -> str:
    """Where to put the file, and which model one could take instead."""
    advice = f"Put the right file at {zoo.folder / card.file_name}, or into the folder that {GIVEN} names"
    here = [c.name for c in cards_of(card.family) if c != card and zoo.find(c) is not None]
    other = f"that is here ({', '.join(here)})" if here else "whose file you have"
    return f"{advice}; or choose a model {other} by the parameter that names it ({parameters_of(card.family)})."
