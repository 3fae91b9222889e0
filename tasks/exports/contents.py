"""What every export holds besides its files: `contents.json`, the list of them, and `verify.py`, which checks it.

Here is also what we note of files for ourselves, so that what has not changed is not read again.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

from blake3 import blake3
from pydantic import Field, TypeAdapter, ValidationError

from tasks.exports import verify_export
from tasks.exports.verify_export import CONTENTS, FORMAT, SEAL, DamagedError, FileFacts
from tasks.exports.verify_export import Rule as Disjoint
from tasks.schema.errors import StoreError
from tasks.shards.manifest import Manifest

__all__ = ["CONTENTS", "VERIFY", "Disjoint", "FileFacts", "MadeBy", "Note"]

VERIFY: Final = "verify.py"

_AT_ONCE: Final = 4096
"""Files that are read by the threads before the next ones are handed out."""

_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_. -]*(/[A-Za-z0-9_][A-Za-z0-9_. -]*)*$")]
_Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_NOTES = TypeAdapter(dict[_Name, tuple[_Digest, str] | tuple[_Digest, str, FileFacts]])


@dataclass(frozen=True)
class MadeBy:
    """The build that an export shows: its flow, and the digest of its manifest."""

    flow: str
    manifest: str

    @classmethod
    def of(cls, manifest: Manifest | None) -> "MadeBy | None":
        return cls(manifest.flow, manifest.digest) if manifest else None


@dataclass(frozen=True)
class Note:
    """What is known of a file: its BLAKE3, what it was made from, and its facts, if they were noted."""

    digest: str
    made_from: str = ""
    facts: FileFacts | None = None


def read_notes(path: Path) -> dict[str, Note]:
    """A list of notes by the names of the files.

    Raises:
        StoreError: it is damaged, or names a place out of the folder.
    """
    try:
        return {name: Note(*said) for name, said in _NOTES.validate_json(path.read_bytes()).items()}
    except ValidationError as error:
        raise StoreError(f"{path} is damaged: remove it; files of earlier exports then stay.") from error


def notes_bytes(notes: Mapping[str, Note]) -> bytes:
    """A list of notes as it is on disk, a file a line; equal notes give equal bytes."""
    said = {
        name: [note.digest, note.made_from, *([_facts(note.facts)] if note.facts else [])]
        for name, note in sorted(notes.items())
    }
    return f"{{\n{_lines(said)}\n}}\n".encode()


def verify_bytes() -> bytes:
    """`verify.py`."""
    return Path(verify_export.__file__).read_bytes()


def contents_bytes(files: Mapping[str, FileFacts], disjoint: Sequence[Disjoint], made_by: MadeBy | None) -> bytes:
    """`contents.json`, a file a line; equal facts give equal bytes. It ends with the digest of all before."""
    head = {
        "format": FORMAT,
        "made_by": asdict(made_by) if made_by else {},
        "disjoint": [asdict(rule) for rule in disjoint],
    }
    listed = _lines({name: _facts(facts) for name, facts in sorted(files.items())})
    sealed = f'{{\n{_lines(head)},\n"files": {{\n{listed}\n}},\n'.encode()
    return sealed + SEAL + digest_of(sealed).encode() + b'"\n}\n'


def digest_of(data: bytes) -> str:
    """The BLAKE2b-256 of bytes: twice as fast as SHA-256 where processors have no instructions for the latter."""
    return blake2b(data, digest_size=32).hexdigest()


def learn_facts(files: Mapping[str, tuple[Path, str]]) -> Iterator[tuple[str, FileFacts]]:
    """Read files for their facts, several at a time: name -> path and BLAKE3.

    Raises:
        StoreError: one does not hold what the digest says, or is not what its name says.
    """

    def learn(name: str) -> tuple[str, FileFacts]:
        path, wanted = files[name]
        digest = blake3()
        try:
            facts = verify_export.file_facts(path, name, digest.update)
        except (DamagedError, FileNotFoundError) as error:
            raise StoreError(f"{name} is not what was written: {error}. Remove it, then run again.") from error
        if digest.hexdigest() != wanted:
            raise StoreError(f"{name} does not hold what was written: remove it, then run again.")
        return name, facts

    left = iter(files)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        while some := list(islice(left, _AT_ONCE)):
            yield from pool.map(learn, some)


def _facts(facts: FileFacts) -> dict[str, Any]:
    """Facts without those that a file of its kind has not."""
    return {key: value for key, value in facts._asdict().items() if value is not None}


def _lines(values: Mapping[str, Any]) -> str:
    return ",\n".join(f"{_json(key)}: {_json(value)}" for key, value in values.items())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
