"""Small builds of a flow of three stages: photos offered, judged by a model against a threshold, and put in order."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
from PIL import Image

from tasks.models.cards import CARDS
from tasks.reports.build_facts import BuildFacts
from tasks.schema.columns import IMAGE, shard_schema
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.derive import Derivation, realise
from tasks.shards.manifest import build_manifest, publish_manifest
from tasks.shards.stage import Stage, StageOutput
from tasks.shards.store import Store

HOSTILE = "</td><script>alert(1)</script>"
NON_COMMERCIAL = "retinaface-mobilenet0.25"
FREE = "yolov8n-pose"


class OfferConfig(Frozen):
    """Photos `first` to `last`, exclusive, of a part."""

    uri: str
    first: int
    last: int


def headers(number: int) -> str:
    """What the server said: of every fifth photo that it must not be used."""
    return json.dumps({"content-type": "image/png"} | ({"x-robots-tag": "noai"} if number % 5 == 0 else {}))


@dataclass(frozen=True)
class Offer(Stage):
    """Pictures of one colour each; number 7 is no picture."""

    config: OfferConfig

    name: ClassVar[str] = "offer"
    version: ClassVar[int] = 1

    @property
    def schema(self) -> pa.Schema:
        return shard_schema(pa.field("image", IMAGE), pa.field("headers", pa.string()))

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        rows = [
            {
                "sample_id": f"web/n{number:04d}",
                "parent_id": None,
                "source_uri": f"https://example.org/{number}?<b>",
                "licence": "CC0" if number % 2 else "CC-BY-4.0 <i>",
                "image": {"bytes": b"\x89PNG\r\n\x1a\nno" if number == 7 else png(number), "path": f"{number}.png"},
                "headers": headers(number),
            }
            for number in range(self.config.first, self.config.last)
        ]
        rejected = [Rejection(f"web/line-{self.config.first}", Reason.URL_MALFORMED, HOSTILE, evidence='{"a": "<u>"}')]
        yield StageOutput(pa.Table.from_pylist(rows, self.schema), tuple(rejected), {"offered": len(rows)})


class JudgeConfig(Frozen):
    """Photos with a score below the threshold are left out; `bonus` is added to all scores."""

    threshold: float = 0.2
    bonus: float = 0.0


@dataclass(frozen=True)
class Judge(Stage):
    """People on photos: one child each, `/p0`, with the score that a model gives."""

    config: JudgeConfig
    model: str = NON_COMMERCIAL

    name: ClassVar[str] = "judge"
    version: ClassVar[int] = 3
    fan_out: ClassVar[bool] = True

    @property
    def schema(self) -> pa.Schema:
        return shard_schema(
            pa.field("score", pa.float32()), pa.field("kind", pa.string()), pa.field("same", pa.int32())
        )

    def models(self) -> dict[str, str]:
        return {self.model: "5" * 64}

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        for batch in batches:
            kept, rejected = [], []
            for row in batch.to_pylist():
                number = int(row["sample_id"][-4:])
                score = number / 40 + self.config.bonus
                if number / 40 < self.config.threshold:
                    said = f"scores {score:.2f}, {self.config.threshold} is asked for"
                    rejected.append(Rejection(row["sample_id"], Reason.PERSON_SCORE_LOW, said, score))
                    continue
                child = {"sample_id": f"{row['sample_id']}/p0", "parent_id": row["sample_id"], "same": 1}
                said = {"score": score, "kind": ("short", "tall")[number % 2]}
                kept.append({n: row[n] for n in ("source_uri", "licence")} | child | said)
            facts = {"threshold": self.config.threshold}
            yield StageOutput(pa.Table.from_pylist(kept, self.schema), tuple(rejected), facts)


class OrderConfig(Frozen):
    """Nothing to decide."""


@dataclass(frozen=True)
class Order(Stage):
    """The dataset: people and their splits."""

    config: OrderConfig

    name: ClassVar[str] = "order"
    version: ClassVar[int] = 1

    @property
    def schema(self) -> pa.Schema:
        return shard_schema(pa.field("split", pa.string()), pa.field("tags", pa.list_(pa.string())))

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        for batch in batches:
            splits = ["test" if i.endswith("5/p0") else "train" for i in batch["sample_id"].to_pylist()]
            columns = [batch[n] for n in ("sample_id", "parent_id", "source_uri", "licence")]
            tags = pa.array([["person", split] for split in splits], pa.list_(pa.string()))
            yield StageOutput(pa.RecordBatch.from_arrays([*columns, pa.array(splits), tags], schema=self.schema))


def png(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (300, 200), (number * 6 % 256, 90, 160)).save(stream, "PNG")
    return stream.getvalue()


def store_in(folder: Path) -> Store:
    return Store(folder.resolve())


def build(
    store: Store,
    parts: tuple[tuple[int, int], ...] = ((0, 20), (20, 40)),
    judged: JudgeConfig | None = None,
    model: str = NON_COMMERCIAL,
    flow: str = "sample",
    respect: bool = True,
) -> BuildFacts:
    """Make a build and publish it; a part is the numbers of its photos, first and last, exclusive."""
    judged = judged or JudgeConfig()
    offers = [Derivation(Offer(OfferConfig(uri=f"list#{a}-{b}", first=a, last=b))) for a, b in parts]
    judges = [Derivation(Judge(judged, model), (offer,)) for offer in offers]
    outputs = {"photos": offers, "people": judges, "dataset": [Derivation(Order(OrderConfig()), tuple(judges))]}
    records = {name: [realise(each, store).record for each in made] for name, made in outputs.items()}
    params = {"judge": judged.model_dump(mode="json"), "download": {"respect_opt_out": respect}, "note": HOSTILE}
    cards = [*CARDS]
    manifest = build_manifest(store, flow, params, records, cards)
    publish_manifest(store, manifest)
    return BuildFacts.of(store, flow, manifest.digest)


def erased(found: BuildFacts, stage: str) -> BuildFacts:
    """The build after the rows of a stage were erased."""
    for shard in found.shards_of(stage):
        record = found.store.find(shard.stage, shard.key)
        assert record is not None
        found.store.erase(record)
    return replace(found)
