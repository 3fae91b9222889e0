"""Small films, and their patches as derivations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.patches.config import FilmSource, VideoPatchesForm
from tasks.patches.cut import Patches, PatchesConfig
from tasks.patches.formats import PatchCategory, PatchFormat
from tasks.patches.tree import PatchTree
from tasks.patches.windows import Windows, WindowsConfig, pieces_of
from tasks.schema.records import ShardRecord
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tasks.video.films import FilmConfig, ProbeFilm, film_digest
from tests.video.make_film import Scene, make_film

SCENES = (
    Scene(frames=60, seed=1),
    Scene(kind="black", frames=20),
    Scene(frames=50, seed=2, speed=6),
    Scene(kind="fade_out", frames=24, seed=3),
    Scene(frames=60, seed=4, speed=2),
)
FORMATS = (
    PatchFormat(name="square", width=162, height=162, folder="Patches"),
    PatchFormat(name="wide", width=240, height=135, folder="Patches_Medium169"),
)
CATEGORIES = (
    PatchCategory(name="general", folder="Universal/Mastermodell/Learn", formats={"square": 0.5, "wide": 0.5}),
    PatchCategory(name="space", folder="Space/SpaceModel/Learn", formats={"wide": 1.0}),
)
CONFIG = PatchesConfig(categories=CATEGORIES, formats=FORMATS)


def small_film(path: Path, scenes: Sequence[Scene] = SCENES, **other: Any) -> Path:
    """Nine seconds with cuts, black and a fade."""
    return make_film(path, **{"width": 640, "height": 360, "scenes": scenes, "crf": 20, **other})


def form(path: Path, windows: int = 12, **other: Any) -> VideoPatchesForm:
    weights = {"general": 1.0, "space": 0.5}
    source = FilmSource(name="small", path=str(path), categories=weights)
    given = {"films": [source], "windows_per_film": windows, "categories": CATEGORIES, "formats": FORMATS}
    return VideoPatchesForm.model_validate(given | {"planning": {"skip_end": 0.02}} | other)


def film_of(path: Path) -> Derivation:
    return Derivation(
        ProbeFilm(FilmConfig(name="small", file_name=path.name, digest=film_digest(path), licence="own"), path)
    )


def patches_of(
    path: Path,
    store: Store,
    tree: Path,
    config: PatchesConfig = CONFIG,
    *,
    windows: int = 12,
    planning: Any = None,
    **other: Any,
) -> list[Derivation]:
    """The patches of all pieces of a film; `other` are fields of the stage."""
    wanted = form(path, windows, **({"planning": planning} if planning else {})).wanted(form(path).films[0])
    film = film_of(path)
    rows = pq.read_table(store.data_path(realise(film, store).record)).to_pylist()
    stage = Patches(config, film_path=path, tree=tree, **other)
    return [
        Derivation(stage, (Derivation(Windows(WindowsConfig(piece=piece, wanted=wanted)), (film,)),), whole=(film,))
        for piece in range(pieces_of(rows[0], wanted))
    ]


def tree_of(derivation: Derivation) -> PatchTree:
    """The tree that a derivation of patches writes into."""
    assert isinstance(derivation.stage, Patches)
    return derivation.stage.open_tree()


def made(derivation: Derivation, store: Store) -> tuple[ShardRecord, list[dict[str, Any]], list[dict[str, Any]]]:
    """The record, the rows and the rejects of a derivation."""
    record = realise(derivation, store).record
    rejects = store.rejects_path(record)
    table: pa.Table = pq.read_table(store.data_path(record))
    return record, table.to_pylist(), pq.read_table(rejects).to_pylist() if rejects else []
