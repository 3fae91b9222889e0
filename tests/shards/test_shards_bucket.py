"""Where a store in a bucket is, and the guards that need no server."""

from pathlib import Path

import pytest
from aiohttp import ClientPayloadError
from botocore.exceptions import (  # type: ignore[import-untyped]
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
)

from tasks.machine.groups import may_pass
from tasks.schema.errors import ConfigError, StoreError
from tasks.shards.bucket import Bucket
from tasks.shards.bucket_files import KEPT, NOTE, BucketFiles, working_copy
from tasks.shards.files import LocalFiles
from tasks.shards.opening import open_store


@pytest.mark.parametrize(
    "url", ["s3://", "s3://a/b", "S3://bucket/x", "https://bucket/x", "s3://bucket//x", "bucket/x"]
)
def test_what_is_no_place_in_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="s3://bucket/prefix"):
        Bucket(url)


def test_a_key_without_its_secret_is_refused_and_neither_is_shown() -> None:
    with pytest.raises(ConfigError, match="both") as caught:
        Bucket("s3://bucket", key="hunter2")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(Bucket("s3://bucket", key="hunter2", secret="hunter2"))


@pytest.mark.parametrize(
    ("status", "code", "passes"),
    [
        (500, "InternalError", True),
        (503, "SlowDown", True),
        (502, "502", True),
        (429, "429", True),
        (400, "RequestTimeout", True),
        (400, "InvalidArgument", False),
        (403, "SignatureDoesNotMatch", False),
        (405, "405", False),
        (404, "NoSuchBucket", False),
    ],
)
def test_what_the_server_refuses_stays_so_and_what_it_cannot_do_now_may_pass(
    status: int, code: str, passes: bool
) -> None:
    said = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(StoreError, match="s3://bucket/x") as caught, Bucket("s3://bucket/x")._explained():
        raise ClientError(said, "GetObject")
    assert may_pass(caught.value) is passes


def test_a_server_that_does_not_answer_may_do_so_later() -> None:
    for error in (EndpointConnectionError(endpoint_url="http://s3"), TimeoutError(), ClientPayloadError("cut")):
        with pytest.raises(StoreError, match="run again when it answers") as caught, Bucket("s3://bucket")._explained():
            raise error
        assert may_pass(caught.value)
    with pytest.raises(StoreError, match="needs credentials") as caught, Bucket("s3://bucket")._explained():
        raise NoCredentialsError
    assert not may_pass(caught.value)


def test_a_folder_is_one_store_or_the_copy_of_one_bucket(tmp_path: Path) -> None:
    (tmp_path / "own" / "shards").mkdir(parents=True)
    with pytest.raises(ConfigError, match="a store of its own"):
        working_copy(tmp_path / "own", Bucket("s3://bucket/x"))
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / NOTE).write_text('{"url": "s3://bucket/x", "copy": "1"}')
    assert open_store(tmp_path / "copy", "s3://bucket/x/").place == "s3://bucket/x"
    with pytest.raises(ConfigError, match="working copy of s3://bucket/x"):
        open_store(tmp_path / "copy", "s3://bucket/y")
    with pytest.raises(ConfigError, match="working copy of s3://bucket/x"):
        open_store(tmp_path / "copy")
    assert open_store(tmp_path / "new").place == str(tmp_path / "new")


def test_only_what_counts_is_in_the_bucket(tmp_path: Path) -> None:
    files = BucketFiles(tmp_path, Bucket("s3://bucket/x"))
    kept = [files._name(tmp_path / kind / "a" / "b.json") for kind in KEPT]
    assert kept == [f"{kind}/a/b.json" for kind in KEPT]
    ours = (
        "tmp/a",
        "attempts/a",
        "times/a",
        "exports/a/shards/b",
        "public/a",
        "controls/f/m/shards/a",
        "forgotten/lock",
    )
    assert [files._name(tmp_path / each) for each in ours] == [None] * len(ours)
    assert files._name(tmp_path.parent / "shards" / "a") is None


def test_both_kinds_of_files_can_do_the_same() -> None:
    def public(kind: type) -> set[str]:
        return {name for name, what in vars(kind).items() if not name.startswith("_") and callable(what)}

    assert public(BucketFiles) <= public(LocalFiles)
