"""Published builds, opened again: their derivations beside the records that they were made as."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from tasks.lineage.remembered import recall_build
from tasks.machine.places import Machine
from tasks.schema.errors import ConfigError, MannequinError, UnreadableError
from tasks.schema.records import InputRef, ShardRecord
from tasks.shards.derive import Derivation, Made, committed
from tasks.shards.manifest import Manifest, read_manifest
from tasks.shards.store import Store

Outputs = Mapping[str, Callable[[], Sequence[Derivation]]]
"""Final derivations by the names that the manifest gives them."""


class RemakeError(MannequinError):
    """Something cannot be made again: its source, its build or its stage is not what it was."""


@dataclass(frozen=True)
class Node:
    """A derivation, and the record of what it gave when the build was made."""

    derivation: Derivation
    record: ShardRecord


@dataclass(frozen=True)
class OpenBuild:
    """A published build whose stages can be run again."""

    machine: Machine
    manifest: Manifest
    outputs: Outputs
    _records: dict[tuple[str, str], ShardRecord] = field(default_factory=dict, repr=False)

    @property
    def store(self) -> Store:
        return self.machine.store

    @property
    def name(self) -> str:
        """`webbody 1a2b3c4d5e6f`, a short name for people."""
        return f"{self.manifest.flow} {self.manifest.digest[:12]}"

    def node(self, stage: str, key: str) -> Node:
        """How an output of the build is made.

        Raises:
            RemakeError: the flow as it is now does not lead to it.
        """
        derivation = self._named.get((stage, key)) or self._derivations.get((stage, key))
        if derivation is None:
            raise RemakeError(f"The flow as it is now has no step that made {stage}/{key[:12]} of {self.name}.")
        return Node(derivation, self.record(stage, key))

    def record(self, stage: str, key: str) -> ShardRecord:
        """The record of an output of the build, erased or not."""
        found = self._records.get((stage, key)) or self.store.read_record(stage, key)
        if found is None:
            raise RemakeError(f"The store at {self.store.place} lost {stage}/{key[:12]}: run the flow again.")
        return self._records.setdefault((stage, key), found)

    def inputs(self, node: Node) -> list[Node | ShardRecord]:
        """What its rows are made of; a record alone is an output of an earlier build."""
        return self._below(node.derivation.inputs, node.record.inputs, node)

    def sides(self, node: Node) -> list[Node | ShardRecord]:
        """What is looked up beside its rows, then what it is given whole."""
        derivation = node.derivation
        return self._below((*derivation.sides, *derivation.whole), node.record.sides, node)

    def _below(
        self, derivations: Sequence[Derivation | Made], refs: Sequence[InputRef], node: Node
    ) -> list[Node | ShardRecord]:
        if [_stage_of(each) for each in derivations] != [ref.stage for ref in refs]:
            said = f"The stage {node.record.stage} of {self.name} had other inputs than the flow gives it now"
            raise RemakeError(f"{said}: run the flow again, then try the new build.")
        records = [self.record(ref.stage, ref.key) for ref in refs]
        return [
            Node(each, record) if isinstance(each, Derivation) else record
            for each, record in zip(derivations, records, strict=True)
        ]

    @cached_property
    def _named(self) -> Mapping[tuple[str, str], Derivation]:
        """Those that the manifest names, by stage and key."""
        pairs = (pair for name, refs in self.manifest.outputs.items() for pair in self._paired(name, refs))
        return {(ref.stage, ref.key): derivation for ref, derivation in pairs}

    @cached_property
    def _derivations(self) -> Mapping[tuple[str, str], Derivation]:
        """All of them, by stage and key: also those that only further steps know."""
        found = dict(self._named)
        waiting = [Node(derivation, self.record(*ref)) for ref, derivation in found.items()]
        while waiting:
            node = waiting.pop()
            for each in (*self.inputs(node), *self.sides(node)):
                if isinstance(each, Node) and (each.record.stage, each.record.key) not in found:
                    found[each.record.stage, each.record.key] = each.derivation
                    waiting.append(each)
        return found

    def _paired(self, name: str, refs: Sequence[InputRef]) -> Iterator[tuple[InputRef, Derivation]]:
        """The outputs of a name, each with its derivation; what was not made has no output."""
        derivations = list(self.outputs[name]()) if name in self.outputs else []
        if len(derivations) == len(refs):
            yield from zip(refs, derivations, strict=True)
            return
        by_ref = {record.ref: each for each in derivations if (record := committed(each, self.store)) is not None}
        yield from ((ref, by_ref[ref]) for ref in refs if ref in by_ref)


def open_build(machine: Machine, flow: str, digest: str = "") -> OpenBuild:
    """A build of a flow; without a digest the one published last.

    Raises:
        UnreadableError: there is none, or nothing says what it was made from.
        ConfigError: no such flow is known.
    """
    manifest = read_manifest(machine.store, flow, digest)
    name = flow.removesuffix("_unfinished")
    if name not in _OPENED:
        raise ConfigError(f"Builds of {flow} cannot be opened: there is {', '.join(_OPENED)}.")
    return OpenBuild(machine, manifest, _OPENED[name](machine, manifest))


def published(store: Store) -> list[tuple[str, str]]:
    """Flow and digest of every build: finished before unfinished, the last of each flow before older ones."""
    found: list[tuple[bool, bool, str, str]] = []
    for folder in sorted(path for path in store.fresh("builds").glob("*") if path.is_dir()):
        try:
            latest = read_manifest(store, folder.name).digest
        except UnreadableError:
            latest = ""
        digests = [path.stem for path in sorted(folder.glob("*.json")) if _is_digest(path)]
        found += [(digest != latest, folder.name.endswith("_unfinished"), folder.name, digest) for digest in digests]
    return [(flow, digest) for _, _, flow, digest in sorted(found)]


def _is_digest(path: Path) -> bool:
    return len(path.stem) == 64


def _stage_of(derivation: Derivation | Made) -> str:
    return derivation.stage.name if isinstance(derivation, Derivation) else derivation.ref.stage


def _pose_templates(machine: Machine, manifest: Manifest) -> Outputs:
    from tasks.poses.build import Build
    from tasks.poses.derivations import part_chain, selection, templates

    build = recall_build(machine.store, manifest, Build)
    chains = [part_chain(read, part, build.config, machine) for read in build.read for part in read.parts]
    return {
        "photos": lambda: [chain.photos for chain in chains],
        "inspected": lambda: [chain.inspected for chain in chains],
        "keypoints": lambda: [chain.keypoints for chain in chains],
        "described": lambda: [chain.described for chain in chains],
        "previews": lambda: [chain.preview for chain in chains],
        "selected": lambda: [selection(read, build.config, machine) for read in build.read],
        "templates": lambda: [templates(build.read, build.config, machine)],
    }


def _webbody(machine: Machine, manifest: Manifest) -> Outputs:
    from tasks.webbody.derivations import urls
    from tasks.webbody.joined import Build, Joined

    build = recall_build(machine.store, manifest, Build)
    joined = Joined(build, machine)
    return {
        "urls": lambda: [urls(part) for part in build.read],
        "downloads": lambda: [chain.downloaded for chain in joined.every],
        "photos": lambda: [chain.photos for chain in joined.every],
        "people": lambda: [chain.people for chain in joined.every],
        "faces": lambda: [chain.faces for chain in joined.every],
        "recognised": lambda: [chain.recognised for chain in joined.every],
        "gated": lambda: joined.gated,
        "neighbours": lambda: [joined.neighbours],
        "identities": lambda: [joined.identities],
        "clean": lambda: [joined.clean],
        "members": lambda: [joined.members],
    }


def _video_patches(machine: Machine, manifest: Manifest) -> Outputs:
    from tasks.patches.build import Build
    from tasks.patches.derivations import film, pieces, windows

    build = recall_build(machine.store, manifest, Build)
    every = [(read, piece) for read in build.read for piece in range(read.pieces)]
    return {
        "films": lambda: [film(read.source, read.digest) for read in build.read],
        "windows": lambda: [windows(read, piece, build.config) for read, piece in every],
        "patches": lambda: [each for read in build.read for each in pieces(read, build.config, machine)],
    }


def _runway_street(machine: Machine, manifest: Manifest) -> Outputs:
    from functools import partial

    from tasks.runway_street.build import Build, Joined

    joined = Joined(recall_build(machine.store, manifest, Build), machine)
    return {step: partial(joined.of, step) for step in manifest.outputs}


def _music_to_pose(machine: Machine, manifest: Manifest) -> Outputs:
    from functools import partial

    from tasks.m2p.build import Build, Joined

    joined = Joined(recall_build(machine.store, manifest, Build), machine)

    def of(step: str) -> Sequence[Derivation]:
        return [joined.samples] if step == "split" else [each.of(step) for each in joined.every]

    return {step: partial(of, step) for step in manifest.outputs}


_OPENED: Final[Mapping[str, Callable[[Machine, Manifest], Outputs]]] = {
    "pose_templates": _pose_templates,
    "webbody": _webbody,
    "video_patches": _video_patches,
    "runway_street": _runway_street,
    "music_to_pose": _music_to_pose,
}
