"""The flow on a local server: what is learned and written, runs that find what was made, verdicts, real photos."""

import csv
import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import State
from prefect.client.schemas.sorting import ArtifactSort
from typer.testing import CliRunner

from flows.cli import app
from flows.runway_street import runway_street
from tasks.runway_street.build import Summary
from tasks.runway_street.config import RunwayStreetForm
from tasks.schema.errors import ConfigError
from tasks.shards.derive import StageNotRunError
from tasks.shards.manifest import read_manifest
from tasks.shards.store import Store
from tasks.shards.verify import verify_store
from tests.fashion.coloured_looks import write_looks
from tests.fashion.made_weights import write_resnet
from tests.fashion.make_coco import clothing_photos, write_export

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SNIPPET = """
from pathlib import Path
import numpy as np
import pandas as pd
from PIL import Image

PROJECT_ROOT = Path(__file__).resolve().parents[1]
DATA_DIR = PROJECT_ROOT / "data"

meta = pd.read_csv(DATA_DIR / "master_metadata_initial.csv")
features = np.load(DATA_DIR / "image_features_resnet50.npy")
index_df = pd.read_csv(DATA_DIR / "image_features_index.csv")

merged = meta.merge(index_df, on="image_id", how="inner")

row = merged.sample(1).iloc[0]
print("Image path:", row["image_path"])
print("Predicted category:", row.get("pred_category", "<not yet computed>"))
"""
"""The seed's example."""


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("looks")
    given = write_looks(folder)
    given["exports"]["output"] = str(folder / "out")
    given["controls"] = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MANNEQUIN_MODELS", str(folder / "models"))
        patch.setenv("MANNEQUIN_TRUST_FIRST_DOWNLOAD", "1")
        yield given


def run(given: dict[str, Any], **changes: Any) -> Summary:
    state: State[Summary] = runway_street(RunwayStreetForm.model_validate(given | changes), return_state=True)
    return state.result()


@pytest.fixture(scope="module")
def first(home: Path, params: dict[str, Any]) -> Summary:
    return run(params)


@pytest.fixture(scope="module")
def out(first: Summary) -> Path:
    return Path(first.exports[0])


def artifact(key: str) -> str:
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])), sort=ArtifactSort.CREATED_DESC, limit=1
        )
    return str(found[0].data)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def times(out: Path) -> dict[Path, int]:
    """When each file of an export was written, but for our own notes."""
    files = [path for path in out.rglob("*") if path.is_file() and ".mannequin" not in path.parts]
    return {path: path.stat().st_mtime_ns for path in files}


def stages(home: Path) -> set[tuple[str, str]]:
    return {(record.stage, record.key) for record in Store(home).records()}


def test_photos_are_kept_or_rejected_with_their_reason(first: Summary, home: Path) -> None:
    assert first.photos == {"street": 42, "runway": 15}
    assert first.kept == {"looks": 58, "inspect": 57, "labels": 57, "embed": 57, "groups": 57, "predict": 57}
    assert first.rejected == {"image_format_unsupported": 1}
    manifest = read_manifest(Store(home), "runway_street", first.manifest)
    assert {line.stage for line in manifest.funnel.lines} >= {"looks", "inspect", "groups", "predict", "trends"}
    assert verify_store(Store(home)).ok


def test_colours_are_learned_and_found_on_the_runway(out: Path) -> None:
    predicted = rows(out / "data" / "master_metadata_with_category.csv")
    columns = ["image_id", "source", "original_dataset", "image_path", "feature_row", "pred_category"]
    assert list(predicted[0]) == columns
    words = {"dress": "dress", "outer": "outerwear", "bag": "bag"}
    runway = [row for row in predicted if row["source"] == "runway"]
    right = [row["pred_category"] == words[Path(row["image_path"]).stem.partition("_")[0]] for row in runway]
    assert sum(right) >= 14
    features = np.load(out / "data" / "image_features_timm-test_resnet.npy", mmap_mode="r")
    assert len(features) == len(predicted) == 57
    assert [row["image_id"] for row in predicted[:2]] == ["runway_0001", "runway_0002"]


def test_the_export_checks_itself(out: Path) -> None:
    done = subprocess.run([sys.executable, out / "verify.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "57 rows in one split each" in done.stdout
    assert "warning" not in done.stdout


def test_the_comparison_is_marked_uncorrected(out: Path) -> None:
    trends = pl.read_parquet(out / "trends" / "trends.parquet")
    assert set(trends["estimate"]) == {"uncorrected"}
    assert {"all", "designer=maison_0", "season=ss24"} <= set(trends["scope"])
    assert "Uncorrected" in (out / "report.html").read_text()
    assert json.loads((out / "classifier" / "report.json").read_text())["accuracy"] > 0.8


def test_the_run_shows_trends_and_similar_looks(first: Summary) -> None:
    for key in ("runway-street-trends", "runway-street-similar", "runway-street-sheet"):
        assert "](data:image/" in artifact(key)
    assert {row["source"] for row in json.loads(artifact("runway-street-sources"))} == {"street", "runway"}


def test_a_second_run_makes_nothing(first: Summary, out: Path, params: dict[str, Any], home: Path) -> None:
    before, written = stages(home), times(out)
    assert run(params) == first
    assert stages(home) == before
    assert times(out) == written


def test_verdicts_correct_the_comparison_and_no_filled_table_is_replaced(
    first: Summary, out: Path, params: dict[str, Any], home: Path
) -> None:
    (sheet,) = out.parent.glob(f"{out.name}-audit-*/audit.csv")
    asked = rows(sheet)
    for row in asked:
        row |= {"garments": Path(row["image_path"]).stem.partition("_")[0], "reviewer": "me"}
    with sheet.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(asked[0]))
        writer.writeheader()
        writer.writerows(asked)
    filled = sheet.read_bytes()
    done = CliRunner().invoke(app, ["verdicts", "--of", "looks", str(sheet)])
    assert done.exit_code == 0, done.output
    assert f"{len(asked)} new verdicts" in done.output
    before = stages(home)
    run(params)
    assert {stage for stage, _ in stages(home) - before} == {"look_verdicts", "trends"}
    assert sheet.read_bytes() == filled
    trends = pl.read_parquet(out / "trends" / "trends.parquet")
    powered = trends.filter((pl.col("estimate") == "powered") & (pl.col("scope") == "all"))
    assert powered.filter(pl.col("label") == "dress")["runway_share"].drop_nulls().len() > 0


def test_what_was_not_made_before_is_told(first: Summary, params: dict[str, Any]) -> None:
    with pytest.raises(StageNotRunError, match="groups"):
        run(params, grouping={"test_share": 0.3}, only_stages=["trends"])


def test_one_side_alone_is_said_before_any_work(params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="add one of the other side"):
        RunwayStreetForm.model_validate(params | {"sources": params["sources"][:1]})


def test_a_street_without_labels_is_told_what_to_add(home: Path, params: dict[str, Any], first: Summary) -> None:
    runway = params["sources"][1]
    with pytest.raises(ConfigError, match="street"):
        run(params, sources=[runway, runway | {"name": "plain", "side": "street"}])


@pytest.mark.real
def test_real_photos_become_tables_that_the_seeds_example_reads(
    home: Path, tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MANNEQUIN_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("MANNEQUIN_TRUST_FIRST_DOWNLOAD", "1")
    (tmp_path / "models").mkdir()
    write_resnet(tmp_path / "models" / "made.pth")
    write_export(tmp_path / "street", clothing_photos(real_data))
    tryon = real_data / "people" / "tryon_models"
    given = {
        "sources": [
            {"name": "clothes", "side": "street", "location": str(tmp_path / "street"), "original_dataset": "modanet"},
            {"name": "tryon", "side": "runway", "kind": "folder", "location": str(tryon)},
        ],
        "embedding": {"model": "timm:resnet50.tv_in1k", "weights": "made.pth"},
        "classifier": {"min_groups": 4},
        "trends": {"min_photos": 5, "min_clusters": 2, "min_labelled": 10},
        "exports": {"output": str(tmp_path / "out"), "audit_photos": 5},
    }
    summary = run(given)
    assert summary.photos == {"street": len(clothing_photos(real_data)), "runway": len(list(tryon.iterdir()))}
    script = tmp_path / "out" / "notebooks" / "example.py"
    script.parent.mkdir()
    script.write_text(SNIPPET)
    runpy.run_path(str(script))
    assert "Image path:" in capsys.readouterr().out
    assert run(given) == summary
