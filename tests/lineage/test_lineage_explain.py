"""Samples of all five flows, kept and dropped, are told from the store alone; whatever one calls them."""

import re
import shutil
import time
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.lineage.explain import explain
from tasks.lineage.find import SampleNotFoundError
from tasks.lineage.story import Answer, Story
from tasks.lineage.text import WIDTH, lines_of
from tasks.schema.ids import template_id
from tasks.shards.derive import Derivation, realise
from tasks.shards.numbers import assign
from tasks.shards.store import Store
from tests.golden.dances import dance_cases
from tests.lineage.told_store import members, publish, told_store
from tests.shards.sample_stages import Gather, KeepSmall, LimitConfig, Make, MakeConfig, build

DATA = Path(__file__).parents[1] / "data"


def story(store: Store, query: str, *exports: Path) -> Story:
    answer = explain(store, query, exports)
    assert answer.story is not None, answer
    return answer.story


@pytest.mark.parametrize(
    ("sample_id", "stages", "uri"),
    [
        (
            "mannequins/seed0-000000",
            "ingest_mannequins inspect keypoints describe select combine",
            "mannequin://seed0/0",
        ),
        ("web/790aeac2ebe0fefb3fd044f7", "urls", "http://photos.example/ada/1.jpg"),
        ("small", "film", "one_cut.mp4"),
        ("looks/ed1ca4bd631c26641c5a", "looks inspect labels", "coco://looks/train/gucci-a.jpg"),
        ("block", "dance", "swaying_block.mp4"),
    ],
)
def test_a_kept_sample_of_each_flow(sample_id: str, stages: str, uri: str) -> None:
    told = story(told_store(), sample_id)
    assert [step.stage for step in told.steps] == stages.split()
    assert (told.dropped, told.origin.source_uri, told.notes) == (None, uri, ())
    assert [(each.outcome, each.stage) for each in told.builds if each.told] == [("kept", stages.rpartition(" ")[2])]
    assert all(step.values and not step.problem for step in told.steps)


@pytest.mark.parametrize(
    ("sample_id", "stage", "reason", "said"),
    [
        ("mannequins/seed0-000001", "select", "over_limit", "1 templates"),
        ("web/line-5", "urls", "url_malformed", "neither http nor https"),
        ("small/w000000_space", "patches", "patch_defocused", ""),
        ("looks/93e517f1e9b2e0a01e4d", "inspect", "image_truncated", "ends before"),
        ("broken", "dance", "video_unreadable", ""),
    ],
)
def test_a_dropped_sample_of_each_flow(sample_id: str, stage: str, reason: str, said: str) -> None:
    told = story(told_store(), sample_id)
    assert told.dropped is not None
    assert (told.dropped.stage, told.dropped.reason) == (stage, reason)
    assert said in told.dropped.detail
    assert told.builds[0].outcome == "dropped"
    assert f"dropped by {stage}: {reason}" in lines_of(explain(told_store(), sample_id))[1]


def test_a_window_that_was_dropped_by_the_last_build_stands_in_the_one_before() -> None:
    told = story(told_store(), "small/w000000_space")
    assert told.dropped is not None
    assert isinstance(told.dropped.evidence, list | dict)
    assert told.dropped.params["detail.least_sharpness"] == 1000
    assert [(each.latest, each.outcome) for each in told.builds] == [(True, "dropped"), (False, "kept")]
    (before,) = told.elsewhere
    assert (before.stage, before.reason) == ("patches", "")
    assert before.builds[0].startswith("video_patches ")
    assert told.origin.where["film"] == "small"


def test_a_duplicate_names_the_sample_that_it_repeats() -> None:
    told = story(told_store(), "web/line-4")
    assert told.dropped is not None
    (same,) = told.dropped.same_as
    assert story(told_store(), same).dropped is None


def test_what_was_made_of_a_film_is_counted_and_named() -> None:
    told = story(told_store(), "small")
    assert [(each.stage, each.count) for each in told.children] == [("windows", 6)]
    assert [(each.stage, each.count) for each in told.children_dropped] == [("patches", 6)]
    assert told.children_dropped[0].first[0].detail


def test_values_are_short_whatever_a_row_holds() -> None:
    steps = {step.stage: step for step in story(told_store(), "mannequins/seed0-000000").steps}
    assert re.fullmatch(r"JPEG [\d,]+ bytes", str(steps["ingest_mannequins"].values["image"]))
    assert str(steps["keypoints"].values["keypoints_xy"]).startswith("18 x 2 float32")
    assert steps["select"].params["quotas.any"] == 1


@pytest.mark.slow
def test_values_of_a_clip_are_counted_by_frames(tmp_path: Path) -> None:
    store = Store(tmp_path)
    realise(dance_cases()["cut_clips"], store)
    told = story(store, "block/c000")
    clip = {step.stage: step for step in told.steps}
    assert re.fullmatch(r"MP4 [\d,]+ bytes", str(clip["cut_clips"].values["clip"]))
    frames = clip["clips"].values["frames"]
    assert clip["clips"].values["crop_centre_xy"] == f"{frames} x 2 float32"
    assert (clip["dance"].sample_id, told.builds) == ("block", ())


def test_a_beginning_means_one_sample_or_lists_them() -> None:
    assert story(told_store(), "looks/ed1ca4").sample_id == "looks/ed1ca4bd631c26641c5a"
    assert story(told_store(), "smal").sample_id == "small"
    several = explain(told_store(), "mannequins/seed0-")
    assert (several.story, len(several.sample_ids), several.more) == (None, 2, 0)
    assert "  mannequins/seed0-000001" in lines_of(several)


@pytest.mark.parametrize(
    "query",
    [
        "nothing",
        "pt_" + "0" * 24,
        "https://example.org/never",
        "fashion_0000",
        "",
        " ",
        "a\0b",
        "\udcff",
        "~nobody/x",
        "a" * 5000,
    ],
)
def test_what_is_not_there_is_said(query: str) -> None:
    with pytest.raises(SampleNotFoundError, match=r"Give a sample|knows no"):
        explain(told_store(), query)


def test_an_empty_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(SampleNotFoundError, match="holds nothing yet"):
        explain(Store(tmp_path), "a")


def test_other_names_of_a_sample() -> None:
    store = told_store()
    assert story(store, template_id("mannequins/seed0-000000")).sample_id == "mannequins/seed0-000000"
    assert story(store, "http://photos.example/ada/1.jpg").sample_id == story(store, "web/line-4").dropped.same_as[0]  # type: ignore[union-attr]
    assert story(store, "mannequin://seed0/1").dropped is not None


def test_numbers_of_exports(tmp_path: Path) -> None:
    store = Store(tmp_path)
    realise(build(parts=1), store)
    assign(store, "pose_folders", "fashion", ["s0-000001", "s0-000002"])
    assign(store, "looks", "runway", ["s0-000004"])
    assert story(store, "fashion_0001").sample_id == "s0-000002"
    assert story(store, "runway_0001").sample_id == "s0-000004"


def test_files_by_their_bytes() -> None:
    photo = DATA / "photos" / "photo_0.jpg"
    assert story(told_store(), str(photo)).sample_id == "looks/ed1ca4bd631c26641c5a"
    assert story(told_store(), str(DATA / "films" / "one_cut.mp4")).sample_id == "small"


def test_a_picture_out_of_a_shard_is_found_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    realise(build(parts=1), store)
    (tmp_path / "picture.bin").write_bytes(bytes([7]) * 1000)
    assert story(store, str(tmp_path / "picture.bin")).sample_id == "s0-000007"
    (tmp_path / "other.bin").write_bytes(b"never seen")
    with pytest.raises(SampleNotFoundError, match="in no export"):
        explain(store, str(tmp_path / "other.bin"))


def test_files_of_an_export(tmp_path: Path) -> None:
    store = told_store()
    tree = tmp_path / "patches"
    shutil.copytree(store.root / "exports" / "patches", tree)
    name = "Space/SpaceModel/Learn/Patches_Medium169/GT/small_w000000_space.png"
    found = explain(store, str(tree / name))
    assert (found.sample_ids, found.notes) == (("small/w000000_space",), ())
    (tree / name).write_bytes(b"other bytes")
    changed = explain(store, str(tree / name))
    assert changed.sample_ids == found.sample_ids
    assert "was changed" in changed.notes[0]
    assert str(tree / name) + "  (changed since it was written)" in "\n".join(lines_of(changed))


def test_an_answer_is_json_and_fits_a_screen() -> None:
    answer = explain(told_store(), "mannequins/seed0-000000")
    assert Answer.model_validate_json(answer.model_dump_json()) == answer
    assert all(len(line) <= WIDTH or "=" in line for line in lines_of(answer))


def test_two_builds_of_other_rules(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store, "first", all=[build(limit=10)])
    publish(store, "first", all=[build(limit=8)])
    told = story(store, "s0-000009")
    assert told.dropped is not None
    assert (told.dropped.stage, told.dropped.params) == ("keep_small", {"limit": 8})
    assert [(each.outcome, each.latest) for each in told.builds] == [("dropped", True), ("kept", False)]
    assert {each.stage for each in told.elsewhere} == {"keep_small", "brightness"}
    half = story(store, "s1-000001/p1")
    assert half.dropped is not None
    assert (half.dropped.stage, half.origin.sample_id, half.steps[0].stage) == ("halves", "s1-000001", "make")
    assert [step.stage for step in half.steps] == ["make", "keep_small", "brightness"]


def test_who_is_left_out_of_one_branch_and_goes_on_in_another_is_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = Derivation(Make(MakeConfig()))
    gathered = Derivation(Gather(LimitConfig(limit=98)), (Derivation(Gather(LimitConfig(limit=99)), (made,)),))
    branches = (Derivation(KeepSmall(LimitConfig()), (made,)), gathered)
    publish(store, "branches", all=branches)
    told = story(store, "s0-000012")
    assert [step.stage for step in told.steps] == ["make", "gather", "gather"]
    assert told.dropped is not None
    assert told.dropped.stage == "keep_small"


def test_what_was_erased_is_said_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store, "erasing", all=[build(parts=1)])
    for record in store.records():
        if record.stage in ("keep_small", "brightness"):
            store.erase(record)
    told = story(store, "s0-000002/p0")
    steps = [(step.stage, step.sample_id, step.erased) for step in told.steps]
    assert ("brightness", "s0-000002", True) in steps
    assert ("make", "s0-000002", False) in steps
    assert any("erased on purpose" in line for line in lines_of(explain(store, "s0-000002/p0")))


def test_damage_is_said_and_the_rest_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store, "damaged", all=[build(parts=1)])
    (small,) = (record for record in store.records() if record.stage == "keep_small")
    (made,) = (record for record in store.records() if record.stage == "make")
    path = store.data_path(made)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    store.data_path(small).unlink()
    store.record_path("brightness", "0" * 64).parent.mkdir(parents=True)
    store.record_path("brightness", "0" * 64).write_bytes(b"{")
    next((store.root / "builds" / "damaged").glob("[0-9a-f]*.json")).write_bytes(b"{}")
    told = story(store, "s0-000002")
    assert "brightness" in {step.stage for step in told.steps}
    said = " ".join(told.notes)
    assert "does not have its digest" in said
    assert "is missing" in said
    assert "1 records do not read" in said
    assert "manifest" in said


@pytest.mark.slow
def test_faces_and_whose_they_are(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store, "webbody", members=[members()])
    kept = story(store, "a-1")
    assert [step.stage for step in kept.steps] == ["given", "given", "clean", "members"]
    assert kept.steps[-1].values["identity"] == kept.steps[-2].values["identity"]
    dropped = story(store, "d-0").dropped
    assert dropped is not None
    assert (dropped.stage, dropped.reason, dropped.score) == ("clean", "too_few_images", 1)
    assert dropped.facts["cosines.merge"] == 0.7


@pytest.mark.slow
def test_a_large_store_answers_soon(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store, "large", all=[build(parts=150, rows=100)])
    before = pa.total_allocated_bytes()
    start = time.process_time()
    told = story(store, "s123-000005")
    took = time.process_time() - start
    assert len(store.records()) > 600
    assert [step.stage for step in told.steps] == ["make", "keep_small", "brightness"]
    assert took < 4
    assert pa.total_allocated_bytes() - before < 32 << 20
