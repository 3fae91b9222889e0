"""Builds that can be opened again: beside the manifest lies what the flow knew when it published it.

<root>/builds/<flow>/<manifest digest>.build.json

It says where things lie on this machine, and so is no part of the manifest. Equal builds give equal bytes; the store's
own place is left out, so that a store may be moved.
"""

from json import dumps, loads
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from tasks.schema.errors import UnreadableError
from tasks.shards.manifest import BUILD_SUFFIX, Manifest, publish_manifest
from tasks.shards.store import Store

Build = TypeVar("Build", bound=BaseModel)

_STORE = "<store>"
"""Stands for the store's folder at the beginning of a path."""


def publish_remembered(store: Store, manifest: Manifest, build: Build) -> Build:
    """Publish a manifest, and remember what it was made from; returns that with `flow` and `manifest` filled in.

    Raises:
        StoreError: the store cannot be written.
    """
    publish_manifest(store, manifest)
    published = build.model_copy(update={"flow": manifest.flow, "manifest": manifest.digest})
    remember_build(store, manifest, published)
    return published


def remember_build(store: Store, manifest: Manifest, build: BaseModel) -> Path:
    """Write down what a published build was made from, unless it says so already; durable when this returns.

    Args:
        manifest: of the build, published.
        build: the flow's own: parameters, what was read, where it lies.
    Raises:
        StoreError: the store cannot be written.
    """
    path = _path(store, manifest.flow, manifest.digest)
    said = _replaced(build.model_dump(mode="json"), str(store.root), _STORE)
    data = (dumps(said, sort_keys=True, indent=1) + "\n").encode()
    if not store.files.has(path) or store.files.read(path) != data:
        store.put(path, data)
    return path


def recall_build(store: Store, manifest: Manifest, form: type[Build]) -> Build:
    """What a published build was made from.

    Raises:
        UnreadableError: nothing that reads was written down.
    """
    again = f"run the flow {manifest.flow.removesuffix('_unfinished')} once more, what was made is found"
    path = _path(store, manifest.flow, manifest.digest)
    try:
        said = loads(store.files.read(path))
    except FileNotFoundError as error:
        raise UnreadableError(f"Nothing says what the build {manifest.digest[:12]} was made from: {again}.") from error
    except ValueError as error:
        raise UnreadableError(f"{path} is damaged: {again}.") from error
    try:
        # as JSON, where every form reads what it wrote
        return form.model_validate_json(dumps(_replaced(said, _STORE, str(store.root))))
    except ValidationError as error:
        raise UnreadableError(f"{path} is of another version: {again}.") from error


def _path(store: Store, flow: str, digest: str) -> Path:
    return store.root / "builds" / flow / f"{digest}{BUILD_SUFFIX}"


def _replaced(value: JsonValue, old: str, new: str) -> JsonValue:
    """The value with another beginning of every text that is a path below `old`."""
    match value:
        case str() if value == old or value.startswith(f"{old}/"):
            return new + value[len(old) :]
        case list():
            return [_replaced(each, old, new) for each in value]
        case dict():
            return {name: _replaced(each, old, new) for name, each in value.items()}
    return value
