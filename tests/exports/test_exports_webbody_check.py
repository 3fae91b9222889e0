"""The check finds what is wrong with bundles, and other people's libraries read them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.exports.webbody_bundle import export_bundles
from tasks.exports.webbody_check import check_bundle, check_webbody
from tasks.exports.webbody_facts import FACTS, WHOLE, BundleConfig, BundleFacts
from tasks.shards.files import file_digest
from tasks.shards.store import Store
from tests.exports.webbody_shards import CARD, Build, member_row

CONFIG = BundleConfig(formats=("recordio", "webdataset", "parquet"), subsets=("wb4m", "wb_testing"))


def apart() -> Build:
    """A build whose photos show one identity each: two train, one validation, one test."""
    build = Build(photos=8)
    kept = [i for i, face in enumerate(build.faces) if str(face["parent_id"]).endswith("p0")]
    build.faces = [build.faces[i] for i in kept]
    build.people = [build.people[i] for i in kept]
    places = [("train", ["wb4m"]), ("train", []), ("validation", []), ("test", ["wb_testing"])]
    hashes = [0, 0xFFFFFFFF, 0xFFFFFFFF00000000, 0xF0F0F0F0F0F0F0F0]
    build.members = []
    for i, face in enumerate(build.faces):
        split, subsets = places[i % 4]
        build.people[i]["phash"] = hashes[i % 4]
        build.members.append(member_row(face, f"id-{i % 4}", split=split, subsets=subsets))
    return build


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("webbody")
    export_bundles(Store(folder / "store"), apart().write(folder / "in"), folder / "out", CONFIG, card=CARD)
    return folder / "out"


def test_a_good_tree_has_no_problem(exported: Path) -> None:
    found = check_webbody(exported)
    assert found.problems == ()
    assert found.ok
    assert [(each.name, each.rows, each.identities) for each in found.bundles] == [
        ("wb4m", 2, 1),
        ("wb_testing", 2, 1),
        (WHOLE, 8, 4),
    ]


def test_a_build_of_nobody_has_no_problem(tmp_path: Path) -> None:
    build = apart()
    build.members = []
    export_bundles(Store(tmp_path / "store"), build.write(tmp_path / "in"), tmp_path / "out", CONFIG, card=CARD)
    assert check_webbody(tmp_path / "out").problems == ()


def test_people_in_two_splits_are_told(tmp_path: Path) -> None:
    build = apart()
    build.members[4] |= {"split": "test", "subsets": ["wb_testing"]}
    build.people[3]["sha256"] = build.people[1]["sha256"]
    build.people[6]["phash"] = 0xFFFFFFFF00000000 ^ 0b11
    build.people[5]["phash"] = 0xFFFFFFFF00000000
    config = BundleConfig(subsets=("wb4m", "wb_testing"))
    export_bundles(Store(tmp_path / "store"), build.write(tmp_path / "in"), tmp_path / "out", config, card=CARD)
    problems = "\n".join(check_webbody(tmp_path / "out").problems)
    assert "test and train share 1 identities" in problems
    assert "test and train share 1 photos with the same bytes" in problems
    assert "train and validation share" in problems
    assert "the other subsets and wb_testing share 1 identities" in problems
    assert "another build" not in problems
    fewer = BundleConfig(subsets=("wb4m",))
    export_bundles(Store(tmp_path / "store"), build.write(tmp_path / "in"), tmp_path / "out", fewer, card=CARD)
    assert any("wb_testing: it is of another build" in problem for problem in check_webbody(tmp_path / "out").problems)


def rewrite(folder: Path, name: str, data: bytes) -> None:
    """Change a file and its digest in the facts, as a wrong writer would."""
    (folder / name).write_bytes(data)
    facts = BundleFacts.model_validate_json((folder / FACTS).read_bytes())
    files = facts.files | {name: (file_digest(folder / name), len(data))}
    (folder / FACTS).write_text(facts.model_copy(update={"files": files}).model_dump_json())


def test_what_is_wrong_inside_is_told(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / WHOLE
    shutil.copytree(exported / WHOLE, folder)
    listed = (folder / "train.tsv").read_text()
    rewrite(folder, "train.tsv", listed.replace("\t1\n", "\t2\n", 1).encode())
    assert any("has the label 1 in train.rec and 2 in train.tsv" in p for p in check_bundle(folder).problems)
    rewrite(folder, "train.tsv", "".join(listed.splitlines(keepends=True)[:-1]).encode())
    assert any("recordio does not read to its end" in p for p in check_bundle(folder).problems)
    rewrite(folder, "train.tsv", listed.encode())
    assert check_bundle(folder).problems == ()
    joints = (folder / "kps_xyn.csv").read_text()
    rewrite(folder, "kps_xyn.csv", joints.replace("0.14", "1.14", 1).encode())
    assert any("a keypoint lies outside" in p for p in check_bundle(folder).problems)
    rewrite(folder, "kps_xyn.csv", joints.encode())
    records = bytearray((folder / "train.rec").read_bytes())
    records[400:4000] = bytes(3600)
    rewrite(folder, "train.rec", bytes(records))
    problems = "\n".join(check_bundle(folder).problems)
    assert "do not hold the same pictures" in problems
    (folder / "labels.csv").unlink()
    problems = "\n".join(check_bundle(folder).problems)
    assert "labels.csv is missing" in problems
    (folder / FACTS).write_text("{}")
    assert "bundle.json is missing or does not read" in check_bundle(folder).problems[0]
    assert not check_webbody(tmp_path / "nothing").ok


@pytest.mark.slow
def test_webdataset_reads_the_tars(exported: Path) -> None:
    from webdataset.tariterators import group_by_keys, tar_file_expander

    with (exported / WHOLE / "webdataset/train-00000.tar").open("rb") as stream:
        found = list(group_by_keys(tar_file_expander([{"url": stream.name, "stream": stream}])))
    assert [sample["__key__"] for sample in found] == ["000000000", "000000001", "000000004", "000000005"]
    said = json.loads(found[0]["json"])
    assert (said["label"], said["identity"], said["split"]) == (0, "id-0", "train")
    assert len(said["keypoints_xy"]) == 34
    assert found[0]["jpg"][:2] == found[0]["face.jpg"][:2] == b"\xff\xd8"


@pytest.mark.slow
def test_datasets_reads_the_folder(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True, raising=False)
    datasets.disable_progress_bars()
    every: Any = datasets.load_dataset(str(exported / WHOLE), cache_dir=str(tmp_path / "cache"))
    assert {split: rows.num_rows for split, rows in every.items()} == {"train": 4, "validation": 2, "test": 2}
    first = every["train"][0]
    assert (first["image"].size, first["face"].size, first["label"]) == ((384, 384), (32, 32), 0)
    assert "embedding" not in every["train"].features


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlcroissant_reads_the_records(exported: Path) -> None:
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=exported / WHOLE / "croissant.json")
    assert dataset.metadata.issues.errors == set()
    rows = list(dataset.records("train"))
    assert [row["train/label"] for row in rows] == [0, 1, 0, 1]
    assert rows[0]["train/image"].size == (384, 384)
    assert len(rows[0]["train/keypoints_xy"]) == 34
    assert len(list(dataset.records("test"))) == 2


def test_the_card_says_what_the_law_wants_to_know(exported: Path) -> None:
    from huggingface_hub import DatasetCard

    text = (exported / WHOLE / "README.md").read_text()
    card = DatasetCard(text).data
    assert card.license_name == "per-row"
    assert [each["split"] for each in card.configs[0]["data_files"]] == ["train", "validation", "test"]
    for said in (
        "| Purpose | research on \\| re-identification |",
        "| Legal basis | consent |",
        "| Jurisdiction | EU |",
        "privacy@example.org",
        "Article 5(1)(e)",
        "2 February 2025",
        "untargeted scraping",
        "| face.score | 0.95 |",
        "## Opting out",
        "| unknown | 8 |",
    ):
        assert said in text, said
