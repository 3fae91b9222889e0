"""The builds that a store knows of: the last one of each flow first."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tasks.lineage.story import ModelUsed
from tasks.models.cards import CARDS
from tasks.schema.errors import UnreadableError
from tasks.schema.records import ShardRecord
from tasks.shards.manifest import BESIDE, read_manifest
from tasks.shards.store import Store


@dataclass(frozen=True)
class KnownBuild:
    """A published build: the outputs it is made of, by stage and key, and the licences of its models by digest."""

    flow: str
    digest: str
    latest: bool
    shards: frozenset[tuple[str, str]]
    licences: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`webbody 1a2b3c4d5e6f`, a short name for people."""
        return f"{self.flow} {self.digest[:12]}"

    def holds(self, record: ShardRecord) -> bool:
        return (record.stage, record.key) in self.shards


def known_builds(store: Store) -> tuple[tuple[KnownBuild, ...], tuple[str, ...]]:
    """All builds, and sentences about those that do not read.

    Whole builds come before unfinished ones, of each flow the last before the older ones, newest first. A manifest
    holds no time: older ones are ordered by when their files were written.
    """
    found: list[tuple[tuple[bool, bool, float, str], KnownBuild]] = []
    notes = []
    for path in sorted(store.fresh("builds").glob("*/*.json")):
        if path.name == "latest.json" or path.name.endswith(BESIDE):
            continue
        flow = path.parent.name
        try:
            manifest = read_manifest(store, flow, path.stem)
            latest = _is_latest(path)
        except UnreadableError as error:
            notes.append(str(error))
            continue
        build = KnownBuild(
            flow,
            path.stem,
            latest,
            frozenset((each.stage, each.key) for each in manifest.shards),
            {model.sha256: model.licence for model in manifest.models},
        )
        found.append(((not latest, flow.endswith("_unfinished"), -path.stat().st_mtime, flow), build))
    return tuple(build for _, build in sorted(found, key=lambda each: each[0])), tuple(notes)


def models_of(record: ShardRecord, build: KnownBuild | None) -> tuple[ModelUsed, ...]:
    """The models of an output, with their licences."""
    cards = {card.name: card for card in CARDS}
    used = []
    for name, digest in sorted(record.models.items()):
        card = cards.get(name)
        said = build.licences.get(digest, "unknown") if build else "unknown"
        used.append(
            ModelUsed(
                name=name,
                sha256=digest,
                licence=card.licence if card and said == "unknown" else said,
                non_commercial=bool(card and card.non_commercial),
            )
        )
    return tuple(used)


def _is_latest(manifest: Path) -> bool:
    latest = manifest.with_name("latest.json")
    return latest.is_file() and manifest.stem.encode() in latest.read_bytes()
