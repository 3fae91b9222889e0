"""Statistics, warnings, contact sheet and card of a finished build."""

import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tasks.patches.build_plan import BuildPlan, FilmPlan
from tasks.patches.report import (
    CardFacts,
    film_rows,
    patches_card,
    rejected_by_format,
    statistics,
    warnings_of,
)
from tasks.patches.sheet import LARGEST_BYTES, contact_sheet, sample_rows
from tasks.patches.watch import BuildWatch
from tasks.schema.records import ShardRecord
from tasks.shards.manifest import build_manifest
from tasks.shards.store import Store
from tests.patches.patch_shards import FOLDERS, SIZES, SmallBuild


class Finished:
    def __init__(self, root: Path) -> None:
        self.build = SmallBuild(Store(root / "store"), root / "tree")
        self.build.tree.mkdir()
        self.plan: BuildPlan = self.build.plan()
        self.records: list[ShardRecord] = [
            record for film in self.build.films for record in self.build.cut(film, range(self.build.pieces))
        ]
        watch = BuildWatch(self.plan, self.build.store)
        watch.look()
        self.progress = watch.progress()
        self.shards = [self.build.store.data_path(record) for record in self.records]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(tmp_path_factory.mktemp("finished"))


def picture(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


def test_every_window_of_a_format_is_kept_or_has_its_reason(finished: Finished) -> None:
    rejected = rejected_by_format(finished.build.store, finished.records)
    rows = statistics(finished.plan, finished.progress, rejected)
    assert len(rows) == 4
    for row in rows:
        reasons = rejected.get((str(row["category"]), str(row["format"])), {})
        assert row["planned"] == int(row["kept"]) + sum(reasons.values())
    assert sum(int(row["kept"]) for row in rows) == finished.progress.kept
    assert "scene_cut" in " ".join(str(row["rejected"]) for row in rows)


def test_redistributed_windows_are_counted_where_they_went(finished: Finished) -> None:
    moved = {"space": {"tall_72": {"small_54": 5}}}
    film = finished.plan.films[0].model_copy(update={"redistributed": moved})
    plan = finished.plan.model_copy(update={"films": (film, *finished.plan.films[1:])})
    rows = {(row["category"], row["format"]): row["redistributed"] for row in statistics(plan, finished.progress, {})}
    assert rows == {
        ("general", "small_54"): 0,
        ("general", "medium_72"): 0,
        ("space", "small_54"): 5,
        ("space", "tall_72"): -5,
    }


def test_films_say_what_became_of_them(finished: Finished) -> None:
    rows = {row["film"]: row for row in film_rows(finished.progress)}
    assert rows["wall_e"]["success"] == "75.0%"
    assert rows["wall_e"]["rejected"] == "patch_flat 3, scene_cut 3"
    assert rows["broken"]["rejected"] == "video_unreadable: No."


def test_warnings_name_films_categories_and_formats_that_are_off(finished: Finished) -> None:
    found = "\n".join(warnings_of(finished.progress, poor_success=0.8))
    assert "broken gave nothing: No." in found
    assert "wall_e: only 75% of 24 windows" in found
    assert "general: small_54 makes 66.7% of what was kept, 50.0% were wanted" in found
    assert "general: 32 windows were wanted, 24 could be planned" in found
    assert "wall_e" not in "\n".join(warnings_of(finished.progress, poor_success=0.5))


def test_a_build_as_wanted_has_no_warnings(finished: Finished) -> None:
    films = tuple(film for film in finished.progress.films if film.state == "finished")
    exact = tuple(
        each.model_copy(update={"share_wanted": each.share_kept, "wanted": each.planned})
        for each in finished.progress.formats
    )
    whole = tuple(each.model_copy(update={"asked": each.planned}) for each in finished.progress.categories)
    good = finished.progress.model_copy(update={"films": films, "formats": exact, "categories": whole})
    assert warnings_of(good) == []


def test_samples_are_some_of_every_category_and_format(finished: Finished) -> None:
    rows = sample_rows(finished.shards, each=4)
    assert [row["category"] for row in rows] == ["general"] * 4 + ["space"] * 4
    assert len({row["sample_id"] for row in rows}) == 8
    assert {row["format"] for row in rows} == set(SIZES)
    assert sample_rows([]) == []


def test_the_sheet_shows_ground_truth_beside_its_stacks(finished: Finished) -> None:
    rows = sample_rows(finished.shards)
    data = contact_sheet(rows, finished.build.tree)
    assert len(data) <= LARGEST_BYTES
    sheet = picture(data)
    assert sheet.shape[1] == 1100
    gt = picture((finished.build.tree / rows[0]["gt_path"]).read_bytes())
    top, left = 38, 10
    shown = sheet[top : top + gt.shape[0], left : left + gt.shape[1]]
    assert np.abs(shown.astype(int) - gt).mean() < 6
    stack = picture((finished.build.tree / rows[0]["lr5_path"]).read_bytes())
    beside = sheet[top : top + stack.shape[0], 320 : 320 + stack.shape[1]]
    assert np.abs(beside.astype(int) - stack).mean() < 8


def test_a_sheet_lives_with_files_that_are_gone(finished: Finished) -> None:
    rows = [dict(row, gt_path="gone.png", lr5_path="") for row in sample_rows(finished.shards)[:1]]
    assert picture(contact_sheet(rows, finished.build.tree)).shape[1] == 1100
    assert picture(contact_sheet([], finished.build.tree)).min() > 240


def test_sequences_are_shown_as_stacks(finished: Finished, tmp_path: Path) -> None:
    row = sample_rows(finished.shards)[0]
    stack = Image.open(finished.build.tree / row["lr7_path"])
    height = stack.height // 7
    for n in range(7):
        stack.crop((0, n * height, stack.width, (n + 1) * height)).save(tmp_path / f"im{n + 1}.png")
    Image.open(finished.build.tree / row["gt_path"]).save(tmp_path / "gt.png")
    flat = contact_sheet([row], finished.build.tree)
    assert contact_sheet([row | {"gt_path": "gt.png", "lr5_path": "", "lr7_path": ""}], tmp_path) == flat


def film(name: str, transfer: str) -> dict[str, object]:
    size = {"width": 3840, "height": 1608, "fps": [24000, 1001], "bit_depth": 10}
    return {"sample_id": name, "licence": "CC-BY-4.0 | own", "transfer": transfer, **size}


def test_the_card_says_what_a_tree_holds(finished: Finished) -> None:
    rejected = rejected_by_format(finished.build.store, finished.records)
    chain = "tonemap=mobius:desat=0:peak=10"
    facts = CardFacts(
        title="Patches",
        films=[film("avatar_2009", "pq"), film("wall_e", "sdr")],
        folders=FOLDERS,
        formats={name: (*pixels, f"Patches_{name}") for name, pixels in SIZES.items()},
        progress=finished.progress,
        statistics=statistics(finished.plan, finished.progress, rejected),
        tonemap={"pq": chain, "hlg": chain},
        manifest=build_manifest(finished.build.store, "video_patches", {}, {"patches": finished.records}),
    )
    card = patches_card(facts)
    assert card == patches_card(facts)
    _, header, body = card.split("---\n", 2)
    assert yaml.safe_load(header)["size_categories"] == ["n<1K"]
    for said in (
        "36 patches for video super-resolution",
        r"| avatar_2009 | CC-BY-4.0 \| own | 3840x1608 | 23.976 | 10-bit pq | 18 |",
        "| tall_72 | Patches_tall_72 | 72x72 | 24x24 | 24x120 | 24x168 |",
        f"- pq: `{chain}`",
        "| broken | video_unreadable | No. |",
        "| scene_cut | 6 |",
        "## Funnel",
    ):
        assert said in body
    assert "hlg" not in body


def test_the_card_of_nothing(finished: Finished, tmp_path: Path) -> None:
    nothing = BuildPlan(
        config="c",
        created_at=datetime.now(UTC),
        store=str(tmp_path),
        shares={},
        films=(FilmPlan(film="f", asked={}, reason="film_missing", detail="Gone."),),
    )
    progress = BuildWatch(nothing, Store(tmp_path)).progress()
    card = patches_card(
        CardFacts(title="P", films=[], folders={}, formats={}, progress=progress, statistics=[], layout="both")
    )
    assert "0 patches" in card
    assert "No film is HDR." in card
