"""What a build is, and where its rows went.

<root>/builds/<flow>/<digest>.json         the manifest; `digest` is the sha256 of the file
<root>/builds/<flow>/latest.json           names the one that was published last
<root>/builds/<flow>/<digest>.build.json   what it was made from on this machine, see `tasks.lineage.remembered`
<root>/builds/<flow>/<digest>.controls.json   what came back of samples of known truth, see `tasks.controls.show`

A manifest holds no time, host or path of its own: equal builds give equal bytes. Its parameters are the caller's, who
leaves out whatever says where instead of what.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from json import dumps, loads
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from pydantic import Field, JsonValue, SerializerFunctionWrapHandler, ValidationError, model_serializer

from tasks.schema.errors import ConfigError, StoreError, UnreadableError
from tasks.schema.records import DataFile, Frozen, InputRef, ShardRecord
from tasks.shards.accounting import AccountingError
from tasks.shards.code_version import code_version
from tasks.shards.files import disk_errors_explained, temporary
from tasks.shards.funnel import Funnel, StageRun, funnel_of, unaccounted
from tasks.shards.parquet import read_batches
from tasks.shards.store import Store

BUILD_SUFFIX = ".build.json"
CONTROLS_SUFFIX = ".controls.json"
BESIDE = (BUILD_SUFFIX, CONTROLS_SUFFIX)
"""Ends of the names of what lies beside manifests."""

_FLOW_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class BuildShard(Frozen):
    """One committed stage output of a build; `facts` is what the stage measured on its way."""

    stage: str
    version: int
    key: str
    data: DataFile
    rejects: DataFile | None
    facts: dict[str, JsonValue] = Field(default_factory=dict)


class BuildModel(Frozen):
    """A model whose weights decided rows of a build. `non_commercial`: they may not be used for profit, whatever the
    licence of the code says; written down only where it is so, so that older manifests keep their digest.
    """

    name: str
    sha256: str
    licence: str
    non_commercial: bool = False

    @model_serializer(mode="wrap")
    def _without_default(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        return written if self.non_commercial else {n: v for n, v in written.items() if n != "non_commercial"}


class ModelTerms(Protocol):
    """What a manifest says of a model: a `ModelCard` says it."""

    @property
    def name(self) -> str: ...
    @property
    def licence(self) -> str: ...
    @property
    def non_commercial(self) -> bool: ...


class Manifest(Frozen):
    """What a build is. `outputs` names the final shards by what they are for ("templates", "previews", ...)."""

    flow: str
    code: str
    params: dict[str, JsonValue]
    outputs: dict[str, tuple[InputRef, ...]]
    shards: tuple[BuildShard, ...]
    models: tuple[BuildModel, ...]
    funnel: Funnel

    def to_bytes(self) -> bytes:
        """The file: equal manifests give equal bytes."""
        return (dumps(self.model_dump(mode="json"), sort_keys=True, indent=1) + "\n").encode()

    @property
    def digest(self) -> str:
        return sha256(self.to_bytes()).hexdigest()


def build_manifest(
    store: Store,
    flow: str,
    params: Mapping[str, JsonValue],
    outputs: Mapping[str, Sequence[ShardRecord]],
    cards: Iterable[ModelTerms] = (),
) -> Manifest:
    """Collect a build from its final records, through all of their inputs in the store.

    Args:
        params: the flow's parameters that say what is built; never a credential, a place or a time.
        outputs: final records by what they are for.
        cards: terms of the models; one that has none here has the licence "unknown".
    Raises:
        StoreError: a record on the way is not there any more.
        AccountingError: a record does not account for its rows.
    """
    _builds_folder(store, flow)
    found = runs_of([record for records in outputs.values() for record in records], lambda ref: _record(store, ref))
    records = [each.record for each in found]
    models = {(name, digest) for record in records for name, digest in record.models.items()}
    terms = {card.name: card for card in cards}
    return Manifest(
        flow=flow,
        code=code_version(),
        params=dict(params),
        outputs={name: tuple(r.ref for r in finals) for name, finals in sorted(outputs.items())},
        shards=tuple(
            BuildShard(stage=r.stage, version=r.version, key=r.key, data=r.data, rejects=r.rejects, facts=r.facts)
            for r in records
        ),
        models=tuple(_model(name, digest, terms.get(name)) for name, digest in sorted(models)),
        funnel=funnel_of(found),
    )


def _model(name: str, digest: str, terms: ModelTerms | None) -> BuildModel:
    if terms is None:
        return BuildModel(name=name, sha256=digest, licence="unknown")
    return BuildModel(name=name, sha256=digest, licence=terms.licence, non_commercial=terms.non_commercial)


def publish_manifest(store: Store, manifest: Manifest) -> Path:
    """Write a manifest, unless it is there, and let `latest.json` name it; returns its path.

    Raises:
        ConfigError: the flow's name is no short lower-case name.
        StoreError: the store cannot be written.
    """
    folder = _builds_folder(store, manifest.flow)
    path = folder / f"{manifest.digest}.json"
    pointer = dumps({"digest": manifest.digest}).encode()
    with disk_errors_explained(store.root):
        written = _write_temporary(store, manifest.to_bytes())
        try:
            if not store.files.link_exclusive(written, path) and store.files.read(path) != manifest.to_bytes():
                store.files.replace(written, path)
            store.files.sync_folder(folder)
        finally:
            store.files.remove(written)
        latest = folder / "latest.json"
        if not store.files.has(latest) or store.files.read(latest) != pointer:
            store.files.replace(_write_temporary(store, pointer), latest)
        for place in (folder, folder.parent, store.root):
            store.files.sync_folder(place)
    return path


def read_manifest(store: Store, flow: str, digest: str = "") -> Manifest:
    """The manifest of a build; without a digest, of the one published last.

    Raises:
        UnreadableError: there is none, or it is damaged.
        StoreError: the store cannot be read.
    """
    folder = _builds_folder(store, flow)
    digest = digest or latest_digest(store, flow)
    try:
        path = folder / f"{digest}.json"
        data = store.files.read(path)
        if sha256(data).hexdigest() != digest:
            raise UnreadableError(f"The manifest {path} is damaged: run the flow {flow} again.")
        return Manifest.model_validate_json(data)
    except FileNotFoundError as error:
        raise UnreadableError(f"No build of {flow} is in the store at {store.place}: run the flow first.") from error
    except ValidationError as error:
        raise UnreadableError(f"The manifest {digest} of {flow} is of another version: run the flow again.") from error


def latest_digest(store: Store, flow: str) -> str:
    """The digest of the build that was published last: the name of its file.

    Raises:
        UnreadableError: there is none, or what names it is damaged.
        StoreError: the store cannot be read.
    """
    try:
        latest = _builds_folder(store, flow) / "latest.json"
        return _pointed_to(latest, store.files.read(latest))
    except FileNotFoundError as error:
        raise UnreadableError(f"No build of {flow} is in the store at {store.place}: run the flow first.") from error


def manifest_damage(store: Store) -> dict[Path, str]:
    """Manifests and pointers that are not whole -> what is wrong."""
    damage: dict[Path, str] = {}
    for path in sorted(store.fresh("builds").glob("*/*.json")):
        if path.name == "latest.json":
            try:
                digest = _pointed_to(path, path.read_bytes())
            except UnreadableError:
                damage[path] = "does not name a build"
            else:
                if not path.with_name(f"{digest}.json").exists():
                    damage[path] = f"names {digest}, which is not there"
        elif path.name.endswith(BESIDE):
            try:
                loads(path.read_bytes())
            except ValueError:
                damage[path] = "does not read: run the flow again"
        elif not _is_manifest(path):
            damage[path] = "the bytes do not have the digest of the name"
    return damage


def rejects(store: Store, manifest: Manifest) -> Iterator[pa.RecordBatch]:
    """Every sample that the build left out, with stage and reason (`REJECT_SCHEMA`), from the sources on.

    Raises:
        StoreError: a reject file is not there any more.
    """
    for shard in manifest.shards:
        if shard.rejects is not None:
            path = store.folder(shard.stage, shard.key) / shard.rejects.name
            if not (store.files.bring(path, shard.rejects) and path.exists()):
                raise StoreError(f"{path} is missing: run the flow {manifest.flow} again.")
            yield from read_batches(path, batch_rows=4096)


def runs_of(finals: Sequence[ShardRecord], find: Callable[[InputRef], ShardRecord]) -> list[StageRun]:
    """Every record under `finals` once, from the sources on; `depth` is the longest way from a source.

    A record names the inputs of whoever made it first. Where others gave the same bytes, `finals` count before those:
    they are of the build.

    Args:
        finals: records of the build; of every step, so that none leads into another build.
        find: the record that a reference names.
    Raises:
        AccountingError: a record does not account for its rows.
    """
    records = {record.ref: record for record in finals}
    ours = {(record.stage, record.data.digest): record.ref for record in reversed(finals)}
    depths: dict[InputRef, int] = {}
    led_to: dict[InputRef, InputRef] = {}
    under_way: list[InputRef] = []

    def own(ref: InputRef) -> InputRef:
        """The one of ours that stands for an input, unless that is what is being made of it."""
        if ref not in led_to:
            alike = ref if ref in records else ours.get((ref.stage, ref.digest), ref)
            led_to[ref] = ref if alike in under_way else alike
        return led_to[ref]

    def depth(ref: InputRef) -> int:
        if ref not in depths:
            record = records[ref] = records.get(ref) or find(ref)
            under_way.append(ref)
            depths[ref] = 1 + max((depth(own(below)) for below in _made_for(record)), default=-1)
            under_way.pop()
        return depths[ref]

    for record in finals:
        depth(record.ref)
    flow: set[InputRef] = set()
    waiting = [record.ref for record in finals]
    while waiting:
        ref = waiting.pop()
        if ref not in flow:
            flow.add(ref)
            waiting.extend(map(own, records[ref].inputs))
    found = [StageRun(records[ref], distance, ref not in flow) for ref, distance in depths.items()]
    for record in records.values():
        wrong = unaccounted(record, [records[own(ref)] for ref in record.inputs])
        if wrong:
            raise AccountingError(f"{record.stage}/{record.key}: {wrong}")
    return sorted(found, key=lambda each: (each.depth, each.record.stage, each.record.key))


def _made_for(record: ShardRecord) -> Iterator[InputRef]:
    """Inputs that belong to the record's own build: not what the same stage made for an earlier one."""
    yield from record.inputs
    yield from (side for side in record.sides if side.stage != record.stage)


def _record(store: Store, ref: InputRef) -> ShardRecord:
    record = store.find(ref.stage, ref.key) or store.find_erased(ref.stage, ref.key)
    if record is None or record.ref != ref:
        lost = f"The store at {store.place} lost {ref.stage}/{ref.key}"
        raise UnreadableError(f"{lost}: run the flow again, it is made anew.")
    return record


def _builds_folder(store: Store, flow: str) -> Path:
    if _FLOW_NAME.fullmatch(flow) is None:
        raise ConfigError(f"A flow has a short lower-case name, not {flow!r}.")
    return store.root / "builds" / flow


def _write_temporary(store: Store, data: bytes) -> Path:
    path = temporary(store.tmp)
    with store.files.create(path) as stream:
        stream.write(data)
        store.files.sync(stream)
    return path


def _is_manifest(path: Path) -> bool:
    return sha256(path.read_bytes()).hexdigest() == path.stem


def _pointed_to(latest: Path, data: bytes) -> str:
    try:
        digest = loads(data)["digest"]
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableError(f"{latest} is damaged: run the flow again.") from error
    if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
        raise UnreadableError(f"{latest} is damaged: run the flow again.")
    return digest
