"""Pieces of films with real small PNG files, through the real engine: a stand-in for the decoding stages."""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from blake3 import blake3
from PIL import Image

from tasks.patches.build_plan import BuildPlan, FilmPlan, PiecePlan, film_plan
from tasks.schema.films import PATCH_SCHEMA, WINDOW_SCHEMA
from tasks.schema.records import Frozen, ShardRecord
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.derive import Derivation, realise
from tasks.shards.stage import Stage, StageOutput, stage_key
from tasks.shards.store import Store

SIZES = {"small_54": (54, 54), "medium_72": (72, 42), "tall_72": (72, 72)}
SHARES = {"general": {"small_54": 0.5, "medium_72": 0.5}, "space": {"small_54": 0.25, "tall_72": 0.75}}
FOLDERS = {"general": "Universal/Learn", "space": "Space/Learn"}
REASONS = (Reason.SCENE_CUT, Reason.PATCH_FLAT, Reason.SCENE_BLACK)


class PieceConfig(Frozen):
    film: str
    piece: int
    windows: int


@dataclass(frozen=True)
class SomeWindows(Stage):
    """Windows of a piece, the categories and their formats in turn."""

    config: PieceConfig
    name = "windows"
    version = 1

    @property
    def schema(self) -> pa.Schema:
        return WINDOW_SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        assert list(batches) == []
        c = self.config
        rows = []
        for i in range(c.windows):
            category = tuple(SHARES)[i % 2]
            name = tuple(SHARES[category])[i // 2 % 2]
            rows.append(
                {
                    "sample_id": f"{c.film}/w{c.piece * c.windows + i:06d}_{category}",
                    "parent_id": c.film,
                    "source_uri": f"{c.film}.mkv",
                    "licence": "CC-BY-4.0",
                    "film": c.film,
                    "category": category,
                    "format": name,
                    "tries": [float(i)],
                    "crop_u": [0.5],
                    "crop_v": [0.5],
                    "scaled_width": 192,
                    "scaled_height": 108,
                }
            )
        planned: dict[str, dict[str, int]] = {}
        for row in rows:
            formats = planned.setdefault(str(row["category"]), {})
            formats[str(row["format"])] = formats.get(str(row["format"]), 0) + 1
        facts = {"planned": planned, "wanted": planned, "redistributed": {}}
        yield StageOutput(pa.Table.from_pylist(rows, schema=WINDOW_SCHEMA), facts=facts)


class CutConfig(Frozen):
    reject_every: int


@dataclass(frozen=True)
class SomePatches(Stage):
    """Writes noise over a gradient as GT and stacks; rejects every `reject_every`-th window, with reasons in turn."""

    config: CutConfig
    tree: Path
    name = "patches"
    version = 1

    @property
    def schema(self) -> pa.Schema:
        return PATCH_SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        kept: dict[str, Counter[str]] = {}
        written = rejects = seen = 0
        for batch in batches:
            rows, rejected = [], []
            for window in batch.to_pylist():
                seen += 1
                if self.config.reject_every and seen % self.config.reject_every == 0:
                    reason = REASONS[rejects % len(REASONS)]
                    rejected.append(Rejection(window["sample_id"], reason, f"{reason.value} in all tries", 1.0))
                    rejects += 1
                    continue
                rows.append(row := self._row(window))
                kept.setdefault(row["category"], Counter())[row["format"]] += 1
                written += row["gt_bytes"] + row["lr5_bytes"] + row["lr7_bytes"]
            yield StageOutput(pa.Table.from_pylist(rows, schema=PATCH_SCHEMA), tuple(rejected))
        counts = {category: dict(formats) for category, formats in kept.items()}
        yield StageOutput(PATCH_SCHEMA.empty_table(), facts={"kept": counts, "bytes": written})

    def _row(self, window: dict) -> dict:
        width, height = SIZES[window["format"]]
        rng = np.random.default_rng(int.from_bytes(blake3(window["sample_id"].encode()).digest(4), "big"))
        colour = rng.integers(60, 255, 3)
        ramp = np.linspace(0.2, 1, width)[None, :, None] * np.linspace(0.4, 1, height)[:, None, None] * colour
        gt = np.clip(ramp + rng.normal(0, 6, (height, width, 1)), 0, 255).astype(np.uint8)
        tile = np.array(Image.fromarray(gt).resize((width // 3, height // 3), Image.Resampling.BICUBIC))
        row = {name: window[name] for name in WINDOW_SCHEMA.names if name in PATCH_SCHEMA.names}
        name = window["sample_id"].replace("/", "_") + ".png"
        base = f"{FOLDERS[window['category']]}/Patches_{window['format']}"
        pictures = {
            "gt": ("GT", gt),
            "lr5": ("LR_5frames", np.tile(tile, (5, 1, 1))),
            "lr7": ("LR_7frames", np.tile(tile, (7, 1, 1))),
        }
        for kind, (folder, pixels) in pictures.items():
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "PNG")
            path = self.tree / base / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(stream.getvalue())
            row |= {
                f"{kind}_path": f"{base}/{folder}/{name}",
                f"{kind}_bytes": len(stream.getvalue()),
                f"{kind}_digest": blake3(stream.getvalue()).hexdigest(),
            }
        measured = dict.fromkeys(("first_last_difference", "largest_difference", "shot_score", "detail", "motion"), 1.0)
        return (
            row
            | measured
            | {
                "try": 0,
                "pts": list(range(7)),
                "time_s": window["tries"][0] + 61.5,
                "crop_xyxy": [0, 0, width, height],
            }
        )


@dataclass(frozen=True)
class SmallBuild:
    """Two films of some pieces and one that was rejected; `cut` makes the patches of pieces."""

    store: Store
    tree: Path
    films: tuple[str, ...] = ("avatar_2009", "wall_e")
    pieces: int = 3
    windows: int = 8
    reject_every: int = 3

    def derivation(self, film: str, piece: int) -> Derivation:
        windows = Derivation(SomeWindows(PieceConfig(film=film, piece=piece, windows=self.windows)))
        return Derivation(SomePatches(CutConfig(reject_every=self.reject_every), self.tree), (windows,))

    def plan(self) -> BuildPlan:
        films = []
        for film in self.films:
            records, keys = [], []
            for piece in range(self.pieces):
                derivation = self.derivation(film, piece)
                records.append(realise(derivation.inputs[0], self.store).record)  # type: ignore[arg-type]
                keys.append(stage_key(derivation.stage, (records[-1].data.digest,), ()))
            asked = {"general": self.pieces * self.windows // 2, "space": self.pieces * self.windows // 2}
            films.append(film_plan(film, asked, records, keys))
        films.append(FilmPlan(film="broken", asked={"general": 8, "space": 8}, reason="video_unreadable", detail="No."))
        return BuildPlan(
            config="c" * 64,
            created_at=datetime.now(UTC),
            store=str(self.store.root),
            shares=SHARES,
            films=tuple(films),
        )

    def cut(self, film: str, pieces: Sequence[int]) -> list[ShardRecord]:
        return [realise(self.derivation(film, piece), self.store).record for piece in pieces]


def many_films(films: int, pieces: int, windows: int = 100) -> BuildPlan:
    """A plan alone, of any size: the formats of the seed, evenly."""
    shares = {
        "general": {"small_540": 0.45, "medium_169": 0.35, "large_720": 0.20},
        "space": {"small_540": 0.30, "xlarge_1440": 0.45, "fullhd_1920": 0.25},
        "toon": {"small_540": 0.65, "medium_169": 0.35},
    }
    parts = {"general": 0.5, "space": 0.3, "toon": 0.2}
    planned = {
        category: {name: round(windows * parts[category] * share) for name, share in formats.items()}
        for category, formats in shares.items()
    }
    asked = {category: sum(formats.values()) * pieces for category, formats in planned.items()}
    wanted = {category: {name: n * pieces for name, n in formats.items()} for category, formats in planned.items()}
    return BuildPlan(
        config="c" * 64,
        created_at=datetime.now(UTC),
        store="/nowhere",
        shares=shares,
        films=tuple(
            FilmPlan(
                film=f"film_{film:03d}",
                asked=asked,
                wanted=wanted,
                pieces=tuple(
                    PiecePlan(key=blake3(f"{film}/{piece}".encode()).hexdigest(), planned=planned)
                    for piece in range(pieces)
                ),
            )
            for film in range(films)
        ),
    )
