"""Rows made again from small builds of real stages: equal, laid at the right stage where not, nothing written."""

from pathlib import Path
from shutil import copytree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.images.sheet import encode_jpeg
from tasks.lineage.remake import remake, remake_sample
from tasks.lineage.remake_compare import differences
from tasks.lineage.remake_flows import RemakeError, open_build, published
from tasks.lineage.remake_result import Outcome, Remade
from tasks.lineage.remake_rows import from_rows, put
from tasks.lineage.remake_rules import RULES, Rule, Way
from tasks.lineage.remake_text import remade_lines
from tasks.machine.places import Machine
from tasks.schema.errors import StoreError
from tasks.schema.ids import template_id
from tasks.shards.manifest import read_manifest
from tasks.shards.verify import verify_store
from tests.golden.films import FILM
from tests.golden.record import FOLDER
from tests.lineage.remake_builds import machine, pose_templates, template_form, video_patches
from tests.patches.film_builds import form
from tests.patches.patch_trees import contents
from tests.shards.sample_stages import KeepSmall, LimitConfig, Make, MakeConfig

ALLOWING = Rule(Way.ROW, tolerance=1e-3, psnr_db=45)
EXACT = Rule(Way.ROW)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A store with builds of two flows; nobody changes it."""
    top = tmp_path_factory.mktemp("remake")
    film = top / "film.mp4"
    film.write_bytes(FILM.read_bytes())
    made = machine(top / "store")
    pose_templates(made, template_form(4))
    video_patches(made, form(film, 4))
    return made


@pytest.fixture
def copied(here: Machine, tmp_path: Path) -> Machine:
    """The same store, at another place."""
    copytree(here.store.root, tmp_path / "copied")
    return machine(tmp_path / "copied")


def ids(here: Machine, flow: str, stage: str) -> list[str]:
    shards = [shard for shard in read_manifest(here.store, flow).shards if shard.stage == stage]
    paths = [here.store.folder(stage, shard.key) / shard.data.name for shard in shards]
    return [each for path in paths for each in pq.read_table(path)["sample_id"].to_pylist()]


def outcomes(remade: Remade) -> dict[str, Outcome]:
    return {each.stage: each.outcome for each in remade.stages}


def tampered(here: Machine, stage: str, column: str, value: object) -> None:
    """Let a column of the stage's one shard say something else."""
    (path,) = (here.store.root / "shards" / stage).glob("*/shard-*.parquet")
    table = pq.read_table(path)
    at = table.column_names.index(column)
    field = table.schema.field(column)
    pq.write_table(table.set_column(at, field, pa.array([value] * len(table), field.type)), path)


def test_every_stage_has_a_rule() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == RULES.keys()
    assert all(rule.why for rule in RULES.values() if rule.tolerance or rule.psnr_db)


def test_a_template_is_made_again_and_nothing_is_written(here: Machine) -> None:
    before = contents(here.store.root)
    sample_id = ids(here, "pose_templates", "combine")[0]
    remade = remake_sample(here, sample_id)
    equal = dict.fromkeys(("ingest_mannequins", "inspect", "keypoints", "describe"), Outcome.EQUAL)
    assert outcomes(remade) == equal | dict.fromkeys(("select", "combine"), Outcome.TAKEN_OVER)
    assert remade.equal
    assert remade_lines(remade)[-1] == "Equal: 4 stages made again; 2 taken over."
    whole = remake(open_build(here, "pose_templates"), sample_id, whole=True)
    assert set(outcomes(whole).values()) == {Outcome.EQUAL}
    assert contents(here.store.root) == before


def test_people_may_name_a_template_and_a_stage(here: Machine) -> None:
    sample_id = ids(here, "pose_templates", "preview")[-1]
    remade = remake_sample(here, template_id(sample_id), stage="preview")
    assert (remade.sample_id, remade.stages[-1].stage, remade.equal) == (sample_id, "preview", True)


@pytest.mark.slow
def test_patches_are_cut_again_and_compared_with_their_files(copied: Machine) -> None:
    for sample_id in ids(copied, "video_patches", "patches"):
        remade = remake_sample(copied, sample_id)
        assert outcomes(remade) == dict.fromkeys(("film", "windows", "patches"), Outcome.EQUAL)
    (record,) = [each for each in copied.store.records() if each.stage == "patches"]
    row = pq.read_table(copied.store.data_path(record)).to_pylist()[0]
    damaged, gone = (next(copied.store.root.rglob(row[name])) for name in ("gt_path", "lr5_path"))
    damaged.write_bytes(gone.read_bytes())
    gone.unlink()
    remade = remake_sample(copied, row["sample_id"])
    assert not remade.equal
    told = {each.column: each.how for each in remade.stages[-1].differences}
    assert "pixels before" in told[row["gt_path"]]
    assert "not in the tree" in told[row["lr5_path"]]
    assert remade_lines(remade)[-1] == "Not equal: patches."


def test_what_differs_is_laid_at_its_stage(copied: Machine) -> None:
    tampered(copied, "describe", "difficulty", "impossible")
    sample_id = ids(copied, "pose_templates", "describe")[0]
    remade = remake_sample(copied, sample_id, stage="describe")
    assert [each.stage for each in remade.stages if each.outcome is not Outcome.EQUAL] == ["describe"]
    (found,) = remade.stages[-1].differences
    assert found.column == "difficulty"
    assert found.how.startswith("'impossible' before")
    later = outcomes(remake_sample(copied, sample_id, stage="preview"))
    assert [stage for stage, outcome in later.items() if outcome is not Outcome.EQUAL] == ["describe"]
    assert "preview" in later


def test_a_source_that_changed_is_named(here: Machine, copied: Machine, tmp_path: Path) -> None:
    sample_id = ids(here, "video_patches", "patches")[0]
    film = here.store.root.parent / "film.mp4"
    film.rename(tmp_path / "elsewhere.mp4")
    try:
        with pytest.raises(RemakeError, match=r"film\.mp4 was there and cannot be read"):
            remake_sample(copied, sample_id)
        film.write_bytes(b"another one")
        with pytest.raises(RemakeError, match=r"film\.mp4 has changed"):
            remake_sample(copied, sample_id)
    finally:
        (tmp_path / "elsewhere.mp4").replace(film)


def test_what_is_not_there_is_said(copied: Machine) -> None:
    with pytest.raises(RemakeError, match="means 4 samples"):
        remake_sample(copied, "dolls/")
    with pytest.raises(RemakeError, match="No stage music of"):
        remake_sample(copied, ids(copied, "video_patches", "patches")[0], stage="music")
    assert verify_store(copied.store).ok
    remembered = next(copied.store.root.glob("builds/video_patches/*.build.json"))
    remembered.write_bytes(b"{")
    assert [each.problem for each in verify_store(copied.store).damage] == ["does not read: run the flow again"]
    with pytest.raises(StoreError, match="is damaged: run the flow video_patches once more"):
        open_build(copied, "video_patches")
    remembered.unlink()
    with pytest.raises(StoreError, match="run the flow video_patches once more"):
        open_build(copied, "video_patches")


def test_equal_builds_are_remembered_equally(here: Machine, copied: Machine) -> None:
    assert str(here.store.root) not in "".join(
        path.read_text() for path in here.store.root.glob("builds/*/*.build.json")
    )
    before = contents(copied.store.root / "builds")
    pose_templates(copied, template_form(4))
    assert contents(copied.store.root / "builds") == before
    assert [flow for flow, _ in published(copied.store)] == ["pose_templates", "video_patches"]


def test_a_stage_goes_no_further_than_to_the_rows_that_are_wanted(tmp_path: Path) -> None:
    (made,) = Make(MakeConfig(rows=16)).process(iter(()))
    path = put(tmp_path, made.kept)
    stage = KeepSmall(LimitConfig(limit=10))
    assert from_rows(stage, path, [], []).rows.num_rows == 10
    first = from_rows(stage, path, [], [], ["s0-000001"])
    assert (first.rows.num_rows, first.rejected) == (stage.batch_rows, ())
    gone = from_rows(stage, path, [], [], ["s0-000001", "s0-000012"])
    assert gone.rows.num_rows == 10
    assert gone.why_not("s0-000012").startswith("it is left out now: over_limit")


def test_rows_are_compared_by_the_rule() -> None:
    picture = np.random.default_rng(0).integers(0, 200, (32, 32, 3)).astype(np.uint8)
    files = [encode_jpeg(each, 95) for each in (picture, picture, picture // 2)]
    rows = [
        pa.table({"n": [[1.0, None, 2.0]], "at": [7], "image": [{"bytes": file, "path": "a.jpg"}]}) for file in files
    ]
    assert differences(rows[0], rows[1], EXACT) == ()
    near = rows[0].set_column(0, "n", pa.array([[1.0001, None, 2.0]]))
    assert [(each.column, each.allowed) for each in differences(rows[0], near, EXACT)] == [("n", False)]
    assert [each.allowed for each in differences(rows[0], near, ALLOWING)] == [True]
    for other in ([[1.0, 1.5, 2.0]], [[1.0, None]], [None], [[1.01, None, 2.0]]):
        changed = rows[0].set_column(0, "n", pa.array(other, pa.list_(pa.float64())))
        assert [each.allowed for each in differences(rows[0], changed, ALLOWING)] == [False]
    (darker,) = differences(rows[0], rows[2], ALLOWING)
    assert darker.column == "image.bytes"
    assert "PSNR" in darker.how
    assert not darker.allowed
    assert [each.column for each in differences(rows[0], rows[0].drop_columns(["at"]), ALLOWING)] == ["at"]
    assert not differences(rows[0], rows[0].set_column(1, "at", pa.array([8])), ALLOWING)[0].allowed
