"""Objects below one prefix of an S3 bucket, and what goes wrong with them as one clear error.

Written objects are seen by everybody at once and whole or not at all; one that must be new is created by a conditional
PUT (`If-None-Match: *`), of which the first wins. What an upload in parts leaves behind that was killed is not
listed; a lifecycle rule of the bucket (AbortIncompleteMultipartUpload) removes it.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, Final

from tasks.schema.errors import ConfigError, StoreError, StoreUnreachableError

_URL: Final = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(/[^/]+)*)/?")
_TAKEN: Final = ("PreconditionFailed", "412")
_CONFLICT: Final = ("ConditionalRequestConflict", "409")
_TRIES: Final = 5
"""Of a conditional PUT that meets another one under way; S3 asks to try it again."""

_PASSING: Final = (408, 429)
"""Statuses of replies below 500 that another try may mend; S3 says RequestTimeout with 400."""

_OF_DISKS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)

_CLIENTS: dict[tuple[int, str, str, str], Any] = {}
"""Process, endpoint and credentials -> the client: one for all threads; a forked child makes its own."""
_MAKING = Lock()


@dataclass(frozen=True)
class Listed:
    """An object as a listing tells it: size in bytes, quoted ETag, time of the last change."""

    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True)
class Bucket:
    """A place in an S3 bucket, or in one of a server that speaks S3.

    `url` is s3://bucket/prefix. `endpoint`: of another server than Amazon's. `key` and `secret`: empty: as the AWS
    clients find theirs (environment, profile, role of the machine). Names below are relative to the prefix.

    Raises:
        ConfigError: the url is not of that form, or of key and secret only one is given.
    """

    url: str
    endpoint: str = ""
    key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if _URL.fullmatch(self.url) is None:
            raise ConfigError(f"A store in a bucket is named s3://bucket/prefix, not {self.url!r}.")
        if bool(self.key) != bool(self.secret):
            raise ConfigError(f"Of {self.url} give both the access key and its secret, or neither.")

    @property
    def place(self) -> str:
        """The url as it is told, without a slash at its end."""
        return self.url.rstrip("/")

    def read(self, name: str) -> bytes:
        """The bytes of an object.

        Raises:
            FileNotFoundError: there is none.
        """
        with self._explained():
            data: bytes = self._client().cat_file(self._path(name), max_concurrency=1)
        return data

    def size(self, name: str) -> int | None:
        """The size of an object in bytes; None: there is none."""
        try:
            with self._explained():
                return int(self._call("head_object", Key=self._key(name))["ContentLength"])
        except FileNotFoundError:
            return None

    def listing(self, folder: str, at_most: int = 1000) -> Iterator[tuple[str, Listed]]:
        """Names and what is known of all objects below a folder, in order; `at_most`: of them at once."""
        above, more = self._key(""), dict[str, str]()
        while True:
            with self._explained():
                page = self._call("list_objects_v2", Prefix=self._key(f"{folder}/"), MaxKeys=at_most, **more)
            for each in page.get("Contents", ()):
                yield each["Key"].removeprefix(above), Listed(each["Size"], each["ETag"], each["LastModified"])
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def holds_any(self, folder: str) -> bool:
        """Whether there is anything below a folder."""
        return next(self.listing(folder, at_most=1), None) is not None

    def put(self, source: Path, name: str) -> None:
        """Let an object hold the bytes of a file, in place of others."""
        with self._explained():
            self._client().put_file(str(source), self._path(name))

    def put_new(self, data: bytes, name: str) -> bool:
        """Create an object; False: there is one, whatever it holds."""
        for left in reversed(range(_TRIES)):
            try:
                with self._explained():
                    self._client().pipe_file(self._path(name), data, mode="create")
            except FileExistsError:
                return False
            except _ConflictError as error:
                if not left:
                    said = f"The bucket {self.place} cannot decide who was first: run again."
                    raise StoreUnreachableError(said) from error
            else:
                return True
        raise AssertionError

    def fetch(self, name: str, target: Path) -> bool:
        """Write an object to a file; False: there is none."""
        try:
            with self._explained():
                self._client().get_file(self._path(name), str(target))
        except FileNotFoundError:
            return False
        return True

    def remove(self, name: str) -> None:
        """Remove an object; one that is gone already is fine."""
        with self._explained():
            self._call("delete_object", Key=self._key(name))

    def _key(self, name: str) -> str:
        prefix = self.place.removeprefix("s3://").partition("/")[2]
        return f"{prefix}/{name}" if prefix else name

    def _path(self, name: str) -> str:
        return f"{self.place.removeprefix('s3://')}/{name}"

    def _call(self, method: str, **given: Any) -> Any:
        return self._client().call_s3(method, Bucket=self.place.removeprefix("s3://").partition("/")[0], **given)

    def _client(self) -> Any:
        known = (os.getpid(), self.endpoint, self.key, self.secret)
        with _MAKING:
            if known not in _CLIENTS:
                _CLIENTS[known] = self._made()
            return _CLIENTS[known]

    def _made(self) -> Any:
        from s3fs import S3FileSystem  # type: ignore[import-untyped]

        return S3FileSystem(
            key=self.key or None,
            secret=self.secret or None,
            endpoint_url=self.endpoint or None,
            use_listings_cache=False,
            skip_instance_cache=True,
            config_kwargs={"max_pool_connections": 32},
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            from aiohttp import ClientPayloadError
            from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
            from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]
        except ImportError as error:  # it comes with s3fs
            raise ConfigError(f"The store {self.place} needs s3fs: `pip install mannequin[s3]`.") from error
        try:
            yield
        except (OSError, BotoCoreError, ClientError, ClientPayloadError, ResponseParserError) as error:
            cause = error if isinstance(error, ClientError) else error.__cause__
            reply = cause.response if isinstance(cause, ClientError) else {}
            code = str(reply.get("Error", {}).get("Code", ""))
            status = reply.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code in _TAKEN:
                raise FileExistsError(self.place) from error
            if code in _CONFLICT:
                raise _ConflictError(self.place) from error
            missing = isinstance(error, FileNotFoundError) and code != "NoSuchBucket"
            on_this_disk = isinstance(error, OSError) and error.errno in _OF_DISKS and not code
            if missing or on_this_disk:
                raise
            if refused := _refused(error, code, status):
                raise StoreError(f"The store {self.place} {refused}") from error
            raise StoreUnreachableError(
                f"The store {self.place} cannot be used ({_first_line(error)}): what was committed counts; run again "
                "when it answers."
            ) from error


def _refused(error: Exception, code: str, status: int) -> str:
    """What is wrong, and stays so until a person mends it; empty: another try may end better.

    Args:
        code, status: of the server's reply, empty and 0 where there was none.
    """
    said = _first_line(error)
    if code == "NoSuchBucket":
        return "names a bucket that does not exist: create it, or correct the url of the Store block."
    if status in (401, 403):
        return (
            f"may not be used with these credentials ({said}): they need s3:ListBucket on the bucket, and "
            "s3:GetObject, s3:PutObject and s3:DeleteObject below the prefix."
        )
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        return f"needs credentials ({said}): save them in the Store block, or where AWS clients look for theirs."
    if 300 <= status < 500 and status not in _PASSING and code != "RequestTimeout":
        return f"refuses what it is asked ({said}): correct the url or the endpoint of the Store block."
    return ""


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__


class _ConflictError(Exception):
    """Another conditional PUT of the same name is under way."""
