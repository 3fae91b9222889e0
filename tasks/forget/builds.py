"""Builds that name what goes: their manifests, and what lies beside these, as they are from now on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from json import dumps, loads
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from tasks.forget.journal import Step
from tasks.forget.rekey import Rekeyed, with_words
from tasks.forget.scrub import Scrubber
from tasks.schema.errors import UnreadableError
from tasks.schema.records import InputRef, ShardRecord
from tasks.shards.accounting import AccountingError
from tasks.shards.funnel import Funnel, funnel_of
from tasks.shards.manifest import BuildShard, Manifest, latest_digest, read_manifest, runs_of
from tasks.shards.store import Store

_GOES_ON = "previous"
"""The parameter with what a build goes on from, by the names of its outputs. Source: `tasks.webbody.joined`."""

_GOES_ON_SPLIT = "before"
"""The same of a split alone. Source: `tasks.m2p.build`."""


@dataclass
class RenewedBuilds:
    """Steps that write manifests and what lies beside them under their new names, and remove the old ones.

    `renamed`: digests of manifests as they were -> as they are from now on.
    """

    steps: list[Step] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def renew_builds(store: Store, rekeyed: Rekeyed, scrubber: Scrubber) -> RenewedBuilds:
    """Every build of the outputs as they are from now on, oldest first: their age is that of their files."""
    renewed = RenewedBuilds()
    removes: list[Step] = []
    words = dict(rekeyed.words)
    made = {(record.stage, record.key): record for record in rekeyed.new.values()}
    for path in _in_order(store, renewed):
        manifest = read_manifest(store, path.parent.name, path.stem)
        new = _renewed(store, manifest, rekeyed, made, scrubber, words)
        latest = _is_latest(store, path)
        beside = list(path.parent.glob(f"{path.stem}.*.json"))
        if new != manifest:
            words[path.stem] = renewed.renamed[path.stem] = new.digest
            target = path.with_name(f"{new.digest}.json")
            renewed.steps.append(Step.write(_below(store, target), new.to_bytes().decode()))
            removes.append(Step.remove(_below(store, path)))
        for each in beside:
            target = each.with_name(each.name.replace(path.stem, words.get(path.stem, path.stem)))
            text = each.read_text("utf-8")
            said = _renewed_text(text, scrubber, words)
            if said != text or target != each:
                renewed.steps.append(Step.write(_below(store, target), said))
                removes += [Step.remove(_below(store, each))] if target != each else []
        if latest and new != manifest:
            pointer = dumps({"digest": new.digest})
            renewed.steps.append(Step.write(_below(store, path.with_name("latest.json")), pointer))
    renewed.steps += removes
    return renewed


def _in_order(store: Store, renewed: RenewedBuilds) -> list[Path]:
    """Manifests that read, the oldest first, those that another one names before it."""
    paths: dict[str, tuple[Path, str]] = {}
    found = sorted(store.fresh("builds").glob("*/*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    for path in found:
        if path.name != "latest.json" and "." not in path.stem:
            try:
                read_manifest(store, path.parent.name, path.stem)
            except UnreadableError as error:
                renewed.problems.append(f"{error} It may still name what was forgotten: {path}.")
            else:
                paths[path.stem] = path, path.read_text("utf-8")
    ordered: dict[str, Path] = {}

    def add(digest: str, above: tuple[str, ...]) -> None:
        if digest not in ordered and digest not in above:
            path, text = paths[digest]
            for other in paths:
                if other in text:
                    add(other, (*above, digest))
            ordered[digest] = path

    for digest in paths:
        add(digest, ())
    return list(ordered.values())


def _renewed(
    store: Store,
    manifest: Manifest,
    rekeyed: Rekeyed,
    made: Mapping[tuple[str, str], ShardRecord],
    scrubber: Scrubber,
    words: Mapping[str, str],
) -> Manifest:
    def find(ref: InputRef) -> ShardRecord:
        record = made.get((ref.stage, ref.key)) or store.read_record(ref.stage, ref.key)
        if record is None or record.ref != ref:
            raise UnreadableError(f"{ref.stage}/{ref.key} is gone")
        return record

    shards = {(each.stage, each.key): each for each in (_shard(old, rekeyed) for old in manifest.shards)}
    outputs = {name: tuple(map(rekeyed.ref, refs)) for name, refs in manifest.outputs.items()}
    params: dict[str, Any] = {name: scrubber.form(with_words(each, words)) for name, each in manifest.params.items()}
    same = tuple(shards.values()) == manifest.shards and outputs == manifest.outputs
    if same and params == manifest.params:
        return manifest
    update = {
        "shards": tuple(shards.values()),
        "outputs": outputs,
        "params": params if same else _going_on(params, outputs),
        "funnel": manifest.funnel if same else _funnel(outputs, find, manifest.funnel),
    }
    return manifest.model_copy(update=update)


def _shard(old: BuildShard, rekeyed: Rekeyed) -> BuildShard:
    new = rekeyed.new.get((old.stage, old.key))
    if new is None:
        return old
    return BuildShard(
        stage=new.stage, version=new.version, key=new.key, data=new.data, rejects=new.rejects, facts=new.facts
    )


def _going_on(params: dict[str, Any], outputs: Mapping[str, Sequence[InputRef]]) -> dict[str, Any]:
    """Let the next run of the same inputs go on from what is left here: identities and splits keep their names."""

    def said(name: str) -> list[JsonValue]:
        return [ref.model_dump(mode="json") for ref in outputs.get(name, ())]

    if isinstance(params.get(_GOES_ON), dict):
        params = params | {_GOES_ON: {name: said(name) for name in params[_GOES_ON]}}
    if isinstance(params.get(_GOES_ON_SPLIT), list):
        params = params | {_GOES_ON_SPLIT: said("split")}
    return params


def _funnel(
    outputs: Mapping[str, Sequence[InputRef]], find: Callable[[InputRef], ShardRecord], before: Funnel
) -> Funnel:
    """Where rows went; as it was where an output on the way is not there any more."""
    try:
        return funnel_of(runs_of([find(ref) for refs in outputs.values() for ref in refs], find))
    except (UnreadableError, AccountingError):
        return before


def _renewed_text(text: str, scrubber: Scrubber, words: Mapping[str, str]) -> str:
    """What lies beside a manifest, as it was where it names nothing that changed."""
    try:
        said = loads(text)
    except ValueError:
        return text
    new = scrubber.form(with_words(said, words))
    return text if new == said else dumps(new, sort_keys=True, indent=1) + "\n"


def _is_latest(store: Store, path: Path) -> bool:
    try:
        return latest_digest(store, path.parent.name) == path.stem
    except UnreadableError:
        return False


def _below(store: Store, path: Path) -> str:
    return path.relative_to(store.root).as_posix()
