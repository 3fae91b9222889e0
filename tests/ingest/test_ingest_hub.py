"""The hub, through the real client, against a local server that speaks its API."""

import logging
import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tasks.ingest.hub import HubAccess, HubStream, find_file, list_files, resolve_commit
from tasks.ingest.photos import IngestPhotos, list_source
from tasks.schema.errors import SourceError
from tasks.schema.rejections import Reason
from tasks.schema.sources import ColumnMapping, PhotoSource
from tasks.shards.derive import Derivation, realise
from tasks.shards.stage import stage_key
from tasks.shards.store import Store
from tests.ingest.hub_server import HubServer
from tests.ingest.photo_rows import blob, hub_table, ingest, photo, plain_table

DATASET = "someone/fashion"


def source(**changes: object) -> PhotoSource:
    return PhotoSource.model_validate({"name": "fashion", "location": DATASET} | changes)


@pytest.fixture
def photos() -> list[bytes]:
    return [photo(seed) for seed in range(40)]


@pytest.fixture
def two_files(hub: HubServer, photos: list[bytes]) -> HubServer:
    """40 rows in two files, row groups of 10; genders as class labels."""
    captions = [f"caption {i}" for i in range(40)]
    files = {
        f"data/train-{i:05d}-of-00002.parquet": hub_table(
            photos[20 * i : 20 * i + 20], 10, caption=captions[20 * i : 20 * i + 20], gender=[0, 1] * 10
        )
        for i in range(2)
    }
    hub.publish(
        DATASET, files | {"README.md": b"# Photos\n", "data/test-00000-of-00001.parquet": hub_table(photos, 40)}
    )
    return hub


def test_rows_are_those_of_the_split_in_order(two_files: HubServer, access: HubAccess, photos: list[bytes]) -> None:
    wanted = source(columns=ColumnMapping(caption="caption", gender="gender"), licence="CC0")
    listing, kept, rejected = ingest(wanted, access, part_rows=10)
    assert [(part.first_row, part.rows) for part in listing.parts] == [(0, 10), (10, 10)] * 2
    assert listing.revision == two_files.refs[DATASET, "main"]
    assert listing.columns == ("image", "caption", "gender")
    assert listing.complete
    assert not rejected
    assert [row["image"]["bytes"] for row in kept] == photos
    assert [row["caption"] for row in kept] == [f"caption {i}" for i in range(40)]
    assert [row["gender"] for row in kept] == ["WOMEN", "MEN"] * 20
    assert kept[7]["sample_id"] == f"fashion/{sha256(photos[7]).hexdigest()[:20]}"
    digest = listing.parts[2].digest
    assert kept[25]["source_uri"] == f"hf://datasets/{DATASET}@{digest}/data/train-00001-of-00002.parquet#row=5"
    assert kept[25]["licence"] == "CC0"
    assert kept[25]["image"]["path"] == "5.jpg"


@pytest.mark.slow
def test_datasets_reads_the_same_rows(two_files: HubServer, access: HubAccess, tmp_path: Path) -> None:
    script = f"""
import hashlib
from datasets import load_dataset
for row in load_dataset({DATASET!r}, split="train", streaming=True).decode(False):
    print(hashlib.sha256(row["image"]["bytes"]).hexdigest()[:20])
"""
    env = {"HF_ENDPOINT": two_files.endpoint, "HF_HOME": str(tmp_path), "PATH": "", "NO_PROXY": "*"}
    read = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    _, kept, _ = ingest(source(), access)
    assert [f"fashion/{line}" for line in read.stdout.split()] == [row["sample_id"] for row in kept]


@pytest.mark.parametrize("asked", [10, 256])
def test_parts_do_not_change_rows(two_files: HubServer, access: HubAccess, asked: int) -> None:
    _, whole, _ = ingest(source(), access, part_rows=10_000)
    _, parts, _ = ingest(source(), access, part_rows=asked)
    assert parts == whole


def test_one_part_costs_little_more_than_its_rows(hub: HubServer, access: HubAccess) -> None:
    """One of 16 parts of a 38 MB file, without the column that nobody mapped."""
    photos = [blob(seed, 300_000) for seed in range(64)]
    hub.publish(DATASET, {"train.parquet": plain_table(4, image=photos, unused=photos[::-1], caption=["a"] * 64)})
    reach = replace(access, timeout_s=20)
    wanted = source(columns=ColumnMapping(caption="caption"))
    listing = list_source(wanted, reach, 4)
    listed = hub.sent()
    assert len(listing.parts) == 16
    assert listed < 200_000
    hub.requests.clear()
    outputs = list(IngestPhotos.of(wanted, listing, listing.parts[9], reach).process(iter(())))
    row_bytes = sum(len(data) for data in photos[36:40])
    assert [row["image"]["bytes"] for output in outputs for row in output.kept.to_pylist()] == photos[36:40]
    assert row_bytes < hub.sent() < row_bytes + 200_000
    assert len(hub.requests) < 12


@pytest.mark.slow
def test_a_large_row_group_is_not_read_whole(hub: HubServer, access: HubAccess) -> None:
    """The first slice of a row group of 48 MB; blocks of 8 MiB are the grain."""
    photos = [blob(seed, 1_000_000) for seed in range(48)]
    hub.publish(DATASET, {"train.parquet": plain_table(48, image=photos)})
    reach = replace(access, timeout_s=20)
    listing = list_source(source(), reach, 8)
    assert [part.rows for part in listing.parts] == [8, 8, 16, 16]
    hub.requests.clear()
    kept = [o.kept.num_rows for o in IngestPhotos.of(source(), listing, listing.parts[0], reach).process(iter(()))]
    assert sum(kept) == 8
    assert hub.sent("cdn") < 0.6 * sum(len(data) for data in photos)


def test_a_new_revision_keeps_the_keys_of_unchanged_files(
    two_files: HubServer, access: HubAccess, photos: list[bytes], tmp_path: Path
) -> None:
    store = Store(tmp_path)
    old = list_source(source(), access, 10)
    files = two_files.trees[DATASET, old.revision]
    changed = "data/train-00001-of-00002.parquet"
    made = [realise(Derivation(IngestPhotos.of(source(), old, part, access)), store) for part in old.parts]
    assert not any(outcome.cached for outcome in made)
    two_files.publish(DATASET, files | {changed: hub_table([photo(99)], 10), "README.md": b"# New\n"})
    new = list_source(source(limit=5), access, 10)
    assert new.revision != old.revision
    again = [realise(Derivation(IngestPhotos.of(source(), new, part, access)), store) for part in new.parts]
    assert [outcome.cached for outcome in again] == [True, True, False]


def test_a_file_that_changed_under_a_branch_is_noticed(two_files: HubServer, access: HubAccess) -> None:
    listing = list_source(source(), access, 256)
    two_files.publish(DATASET, {part.uri.split("fashion/")[1]: hub_table([photo(7)], 1) for part in listing.parts})
    moved = listing.model_copy(update={"revision": "main"})
    with pytest.raises(SourceError, match="another file at revision 'main'"):
        list(IngestPhotos.of(source(), moved, listing.parts[0], access).process(iter(())))


def test_the_token_is_in_no_key_no_repr_and_no_log(
    two_files: HubServer, access: HubAccess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    two_files.tokens.add("hf_secret")
    two_files.private.add(DATASET)
    known = replace(access, token="hf_secret")
    listing = list_source(source(), known, 256)
    stage = IngestPhotos.of(source(), listing, listing.parts[0], known)
    other = IngestPhotos.of(source(), listing, listing.parts[0], access)
    assert stage_key(stage, (), ()) == stage_key(other, (), ())
    two_files.fail("cdn", 503, 1)
    record = realise(Derivation(stage), Store(tmp_path)).record
    assert record.rows_kept == 20
    for told in (repr(stage), str(known), repr(listing), record.model_dump_json(), caplog.text):
        assert "hf_secret" not in told
    assert {r.token for r in two_files.requests if "cdn" not in r.path} == {"hf_secret"}


def test_an_endpoint_of_our_choice_gets_no_token_but_ours(
    two_files: HubServer, access: HubAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_person")
    list_source(source(), access, 256)
    assert {request.token for request in two_files.requests} == {None}


def test_pages_of_the_listing_are_followed(two_files: HubServer, access: HubAccess) -> None:
    two_files.page_size = 2
    two_files.fail("cursor", 503, 1, Retry_After="0")
    assert len(list_files(DATASET, two_files.refs[DATASET, "main"], access)) == 4
    assert sum(request.status == 200 for request in two_files.requests) == 3


@pytest.mark.parametrize(
    ("part", "status"), [("revision/main", 503), ("tree", 500), ("resolve", 429), ("cdn", 502), ("cdn", 0)]
)
def test_passing_trouble_is_waited_for(two_files: HubServer, access: HubAccess, part: str, status: int) -> None:
    two_files.fail(part, status, 2)
    _, kept, _ = ingest(source(), access)
    assert len(kept) == 40


def test_lasting_trouble_ends(two_files: HubServer, access: HubAccess) -> None:
    two_files.fail("cdn", 503, 10_000)
    with pytest.raises(SourceError, match="answered 503 for someone/fashion 4 times in a row: try again later"):
        list_source(source(), access, 256)


def test_slowness_ends(two_files: HubServer, access: HubAccess) -> None:
    two_files.delay_s = 0.5
    begun = time.perf_counter()
    with pytest.raises(SourceError, match="cannot be reached for someone/fashion"):
        list_source(source(), replace(access, timeout_s=0.05), 256)
    assert time.perf_counter() - begun < 3


def test_refusals_say_what_to_do(two_files: HubServer, access: HubAccess) -> None:
    def refused(match: str, reach: HubAccess = access, **changes: object) -> None:
        with pytest.raises(SourceError, match=match):
            list_source(source(**changes), reach, 256)

    two_files.tokens.add("hf_valid")
    refused("refuses the token for .*Invalid credentials.*give a valid one", replace(access, token="hf_wrong"))
    refused("has no dataset someone/nothing, or it is private", location="someone/nothing")
    refused("has no dataset someone/nothing", replace(access, token="hf_valid"), location="someone/nothing")
    refused("has no revision 'v9'", revision="v9")
    refused("no dataset id", location="not a dataset id")
    refused("has no split 'validation'; it has: train, test", split="validation")
    two_files.gated.add(DATASET)
    refused(f"gated: accept its terms at {two_files.endpoint}/datasets/{DATASET}")
    two_files.gated.clear()
    two_files.fail("cdn", 403, 1)
    refused("forbids someone/fashion to this token")


def test_no_network(access: HubAccess) -> None:
    nowhere = replace(access, endpoint="http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"http://127.0.0.1:9 cannot be reached .*check the network"):
        list_source(source(), nowhere, 256)


def test_offline(two_files: HubServer, access: HubAccess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError, match="HF_HUB_OFFLINE forbids"):
        list_source(source(), access, 256)


def test_a_server_that_is_no_hub(hub: HubServer, access: HubAccess) -> None:
    hub.publish(DATASET, {})
    hub.fail("revision", 200, 1)
    with pytest.raises(SourceError, match="does not answer as a Hugging Face hub"):
        list_source(source(), access, 256)


def test_a_server_without_ranges(hub: HubServer, access: HubAccess) -> None:
    hub.publish(DATASET, {"train.parquet": plain_table(image=[blob(0, 1_000_000)])})
    hub.serves_ranges = False
    with pytest.raises(SourceError, match="serves no ranges"):
        list_source(source(), access, 256)


def test_a_mapping_that_does_not_fit_lists_the_columns(two_files: HubServer, access: HubAccess) -> None:
    with pytest.raises(
        SourceError, match=r"no column 'text' for `caption`.* image \(image\), caption \(string\), gender"
    ):
        list_source(source(columns=ColumnMapping(caption="text")), access, 256)


def test_the_card_says_which_files(hub: HubServer, access: HubAccess) -> None:
    card = (
        b"---\nconfigs:\n- config_name: small\n  data_files:\n  - split: train\n    path: a/*.parquet\n"
        b"- config_name: large\n  data_files:\n  - split: train\n    path: [b/x.parquet, a/*.parquet]\n---\n# Photos\n"
    )
    tables = {path: hub_table([photo(i)], 1) for i, path in enumerate(("a/1.parquet", "b/x.parquet", "b/y.parquet"))}
    hub.publish(DATASET, tables | {"README.md": card})
    with pytest.raises(SourceError, match=r"as in someone/fashion:small; it has: small, large"):
        list_source(source(), access, 256)
    with pytest.raises(SourceError, match="it has: small, large"):
        list_source(source(location=f"{DATASET}:huge"), access, 256)
    listed = list_source(source(location=f"{DATASET}:large"), access, 256)
    assert [part.uri.removeprefix(f"hf://datasets/{DATASET}/") for part in listed.parts] == [
        "b/x.parquet",
        "a/1.parquet",
    ]
    _, kept, _ = ingest(source(location=f"{DATASET}:small"), access)
    assert [row["image"]["bytes"] for row in kept] == [photo(0)]


def test_a_card_that_points_elsewhere_is_refused(hub: HubServer, access: HubAccess) -> None:
    card = b"---\nconfigs:\n- config_name: default\n  data_files: http://10.0.0.1/x.parquet\n---\n"
    hub.publish(DATASET, {"README.md": card, "a.parquet": hub_table([photo(0)], 1)})
    with pytest.raises(SourceError, match="points at files outside it"):
        list_source(source(), access, 256)


def test_other_forms_come_from_the_parquet_copy(hub: HubServer, access: HubAccess) -> None:
    hub.publish(DATASET, {"images.zip": b"PK", "README.md": b"# Photos\n"})
    with pytest.raises(SourceError, match=r"holds no Parquet for split 'train' .* no Parquet copy"):
        list_source(source(), access, 256)
    copy = {
        "default/train/0000.parquet": hub_table([photo(0)], 1),
        "default/partial-test/0000.parquet": hub_table([photo(1)], 1),
    }
    hub.publish(DATASET, copy, ref="refs/convert/parquet")
    listing, kept, _ = ingest(source(), access)
    assert listing.complete
    assert [row["image"]["bytes"] for row in kept] == [photo(0)]
    assert not list_source(source(split="test"), access, 256).complete
    with pytest.raises(SourceError, match=r"has \(configuration/split\): default/partial-test, default/train"):
        list_source(source(split="validation"), access, 256)


def test_images_stands_in_for_image_and_nulls_are_counted(hub: HubServer, access: HubAccess) -> None:
    hub.publish(DATASET, {"train.parquet": hub_table([photo(0), None, photo(0)], 3, image="images")})
    _, kept, rejected = ingest(source(), access)
    assert len(kept) == 1
    assert [r.reason for r in rejected] == [Reason.IMAGE_MISSING, Reason.DUPLICATE_EXACT]
    assert rejected[0].sample_id == "fashion/row-train.parquet#1"
    assert rejected[1].source_uri.endswith("/train.parquet#row=2")


def test_a_truncated_file_is_named(hub: HubServer, access: HubAccess) -> None:
    hub.publish(DATASET, {"train.parquet": hub_table([photo(0)], 1)[:-9]})
    with pytest.raises(SourceError, match=r"someone/fashion/train.parquet is no whole Parquet file"):
        list_source(source(), access, 256)


def test_stream_reads_anywhere(hub: HubServer, access: HubAccess) -> None:
    data = bytes(range(256)) * 400
    hub.publish(DATASET, {"x.parquet": data})
    commit = resolve_commit(DATASET, "main", access)
    with HubStream(find_file(DATASET, commit, "x.parquet", access), access) as stream:
        stream.expect([(1000, 2000), (2500, 3000)])
        for start, size in [(0, 10), (1500, 100), (1990, 20), (2600, 5), (102_395, 50), (7, 0)]:
            stream.seek(start)
            assert stream.read(size) == data[start : start + size]
        assert stream.seek(-5, 2) == len(data) - 5
        assert stream.read() == data[-5:]
        assert stream.fetched < 5000


@pytest.mark.slow
def test_an_interpreter_that_read_a_few_rows_exits(two_files: HubServer) -> None:
    script = f"""
from tasks.ingest.hub import HubAccess
from tasks.ingest.photos import IngestPhotos, list_source
from tasks.schema.sources import PhotoSource
source, access = PhotoSource(name="fashion", location={DATASET!r}), HubAccess(endpoint={two_files.endpoint!r})
listing = list_source(source, access, 256)
outputs = IngestPhotos.of(source, listing, listing.parts[0], access).process(iter(()))
next(outputs)
print("read", flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"read\n"
        begun = time.perf_counter()
        assert process.wait(timeout=30) == 0
        assert time.perf_counter() - begun < 5
