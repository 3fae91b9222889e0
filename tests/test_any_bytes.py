"""Whatever a file holds, a parser gives a value or an error that a person can act on; never anything else.

The parsers of URL lists, COCO, pictures and robots.txt have tests of their own.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.parameters import read_config as read_parameters
from tasks.audit.questions import ASKED
from tasks.audit.sheet import read_sheet
from tasks.download.address import parse_url
from tasks.download.answers import RETRY_AFTER_CAP_S, retry_after_seconds
from tasks.download.failure import FetchError
from tasks.download.reuse import robots_directives
from tasks.exports.contents import read_notes
from tasks.exports.recordio import read_records, unpacked
from tasks.identity.review_forms import read_verdicts_of
from tasks.identity.review_ledger import read_verdicts
from tasks.ingest.folder_metadata import read_entries
from tasks.m2p.sources import DanceSource, list_videos
from tasks.patches.seed_config import read_config
from tasks.schema.errors import MannequinError
from tasks.schema.sources import ColumnMapping
from tasks.shards.store import Store

NAMES = (
    *(
        "data",
        "annotations",
        "result",
        "value",
        "choices",
        "from_name",
        "verdict",
        "updated_at",
        "completed_by",
        "label",
    ),
    *("labels", "classes", "face_a", "face_b", "doubt_id", "file_name", "text", "image", "video", "sound", "videos"),
    *("base_settings", "films", "verdicts", "sha256", "a.jpg", "prompt", "photo", "sample_id", "seen"),
)
WORDS = st.sampled_from((*NAMES, "same", "remove", "unsure", "a", "0")) | st.text(max_size=5)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
TABLES = st.lists(st.lists(WORDS, max_size=5).map(",".join), max_size=5).map("\n".join)
REVIEWED = TABLES.map("doubt_id,face_a,face_b,verdict,reviewer\n".__add__)
JUDGED = TABLES.map("sample_id,face_clear,same_person,reviewer\n".__add__)
FILES = (
    st.binary(max_size=40)
    | JSON.map(lambda said: json.dumps(said).encode())
    | (TABLES | REVIEWED | JUDGED).map(lambda text: text.encode("utf-8", "replace"))
)


def dances(path: Path) -> object:
    return list_videos(DanceSource(name="any", location=str(path)))


def reviewed(folder: Path) -> object:
    (folder / "doubts.csv").write_bytes(b"doubt_id,face_a,face_b,verdict\na,f,g,\n")
    return read_verdicts_of(folder)


def entries(path: Path) -> object:
    return read_entries(path, ColumnMapping(caption="text"))


def judged(path: Path) -> object:
    return read_sheet(path, ASKED["webbody"], ("a", "0"))


PARSERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "notes of an export": ("files.json", read_notes),
    "an audit sheet": ("audit.csv", judged),
    "verdicts of a table": ("verdicts.csv", read_verdicts_of),
    "verdicts of Label Studio": ("verdicts.json", read_verdicts_of),
    "verdicts of FiftyOne": ("fiftyone/labels.json", lambda path: reviewed(path.parent)),
    "metadata.json of a folder": ("metadata.json", entries),
    "metadata.jsonl of a folder": ("metadata.jsonl", entries),
    "metadata.csv of a folder": ("metadata.csv", entries),
    "dances in JSON lines": ("dances.jsonl", dances),
    "dances in a table": ("dances.csv", dances),
    "dances in Parquet": ("dances.parquet", dances),
    "dances in a list": ("dances.lst", dances),
    "parameters in JSON": ("form.json", read_parameters),
    "parameters in YAML": ("form.yaml", read_parameters),
    "a ledger": ("verdicts/faces/000001.json", lambda path: read_verdicts(Store(path.parents[2]), "faces")),
}


@pytest.mark.parametrize("parser", PARSERS)
@given(data=FILES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_files(tmp_path: Path, parser: str, data: bytes) -> None:
    name, read = PARSERS[parser]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    try:
        read(path)
    except MannequinError as error:
        assert str(error)  # noqa: PT017 - either is right


@pytest.mark.parametrize("parser", [name for name, (file, _) in PARSERS.items() if ".json" in file])
def test_files_that_nest_too_deep(tmp_path: Path, parser: str) -> None:
    name, read = PARSERS[parser]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"[" * 2_000)
    with pytest.raises(MannequinError):
        read(path)


@given(JSON)
@settings(max_examples=50, deadline=None)
def test_configurations_of_video_patches(said: Any) -> None:
    try:
        read_config(said, look=False)
    except MannequinError as error:
        assert str(error)  # noqa: PT017 - either is right


@given(st.binary(max_size=60))
@settings(max_examples=50)
def test_records(data: bytes) -> None:
    framed = b"\x0a\x23\xd7\xce" + (len(data)).to_bytes(4, "little") + data + bytes(-len(data) % 4)
    for stream in (data, framed):
        try:
            for _, payload in read_records(BytesIO(stream)):
                unpacked(payload)
        except MannequinError as error:
            assert str(error)  # noqa: PT017 - either is right


def test_labels_that_are_no_number() -> None:
    for label in (np.inf, -np.inf, np.nan):
        header = b"\0" * 4 + np.float32(label).tobytes() + b"\0" * 16
        with pytest.raises(MannequinError, match="label"):
            unpacked(header)


DATES = st.sampled_from(["Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 99999999999999999999 07:28:00 GMT", "-1", "1e3"])


@given(st.text(max_size=40) | DATES | st.integers().map(str))
@settings(max_examples=50)
def test_retry_after(value: str) -> None:
    waits = retry_after_seconds(value, datetime(2026, 1, 1, tzinfo=UTC))
    assert waits is None or 0.0 <= waits <= RETRY_AFTER_CAP_S


@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://", "http://[", "//", "http://a:"]))
@settings(max_examples=50)
def test_urls_and_headers(text: str, start: str) -> None:
    assert all(directive == directive.lower() for _, directive in robots_directives(text))
    try:
        place = parse_url(start + text)
    except FetchError as error:
        assert error.detail  # noqa: PT017 - either is right
    else:
        assert place.scheme in ("http", "https")
        assert place.hostname
