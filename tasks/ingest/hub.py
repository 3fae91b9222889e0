"""The Hugging Face Hub: asking patiently, explaining refusals, and reading a file there by ranges."""

import io
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from tasks.schema.errors import SourceError

if TYPE_CHECKING:
    import httpx
    from huggingface_hub import HfApi, RepoFile, RepoFolder

Answer = TypeVar("Answer")

PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)
"""Answers that another try may mend."""

BLOCK_BYTES = 8 << 20
"""One request's share of a longer range, and what a dropped connection costs."""

BLOCKS_HELD = 6
"""Columns that are read side by side without asking for a block twice."""

GAP_BYTES = 256 << 10
"""Unwanted bytes between two ranges that cost less than a further request."""


class MissingRevisionError(SourceError):
    """The dataset is there, the branch, tag or commit is not."""


@dataclass(frozen=True)
class HubAccess:
    """How we reach the hub; never part of a key, a record or a log.

    `token` and `endpoint`: None leaves it to the client (HF_TOKEN or a saved login; HF_ENDPOINT or huggingface.co). An
    endpoint given here gets no token but the one given here. `pauses_s` are the pauses between tries.
    """

    token: str | None = field(default=None, repr=False)
    endpoint: str | None = None
    timeout_s: float = 30.0
    pauses_s: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)

    def api(self) -> "HfApi":
        from huggingface_hub import HfApi

        sent = self.token or (False if self.endpoint else None)
        return HfApi(endpoint=self.endpoint, token=sent, library_name="mannequin")


@dataclass(frozen=True)
class HubFile:
    """One file of a dataset at a commit; `digest` is the sha256 of an LFS file, else its git object id."""

    dataset: str
    commit: str
    path: str
    size: int
    digest: str


def resolve_commit(dataset: str, revision: str, access: HubAccess) -> str:
    """The commit that a branch, tag or commit names now.

    Raises:
        SourceError: the hub cannot be reached or refuses, or there is no such dataset or revision.
    """
    api = access.api()
    with explained(dataset, revision, access):
        info = patiently(lambda: api.dataset_info(dataset, revision=revision, timeout=access.timeout_s), access)
    if not info.sha:
        raise SourceError(f"{api.endpoint} does not say which commit {revision!r} of {dataset} is.")
    return str(info.sha)


def list_files(dataset: str, commit: str, access: HubAccess) -> list[HubFile]:
    """Every file of a dataset at a commit, by path."""
    api = access.api()
    with explained(dataset, commit, access):
        tree = patiently(
            lambda: list(api.list_repo_tree(dataset, revision=commit, recursive=True, repo_type="dataset")), access
        )
    return sorted(_files(dataset, commit, tree), key=lambda file: file.path)


def find_file(dataset: str, revision: str, path: str, access: HubAccess) -> HubFile:
    """One file as it is at a revision, without listing the others.

    Raises:
        SourceError: as `resolve_commit`, or there is no such file.
    """
    api = access.api()
    with explained(dataset, revision, access):
        found = patiently(lambda: api.get_paths_info(dataset, [path], revision=revision, repo_type="dataset"), access)
    if not (files := _files(dataset, revision, found)):
        raise SourceError(f"{dataset} has no {path} at revision {revision!r}. List the source again.")
    return files[0]


def _files(dataset: str, commit: str, entries: "list[RepoFile | RepoFolder]") -> list[HubFile]:
    from huggingface_hub import RepoFile

    files = [entry for entry in entries if isinstance(entry, RepoFile)]
    return [HubFile(dataset, commit, f.path, f.size, f.lfs.sha256 if f.lfs else f.blob_id) for f in files]


def read_text(file: HubFile, access: HubAccess) -> str:
    """A small file whole."""
    with HubStream(file, access) as stream:
        return stream.read().decode("utf-8", "replace")


class HubStream(io.RawIOBase):
    """A file on the hub, read by ranges, one request at a time and no thread behind it.

    Bytes outside the ranges announced by `expect` are fetched exactly as asked; within them, up to `BLOCK_BYTES` ahead.
    `fetched` counts the bytes that came over the wire.
    """

    def __init__(self, file: HubFile, access: HubAccess) -> None:
        from huggingface_hub import hf_hub_url

        super().__init__()
        self._file, self._access, self._api = file, access, access.api()
        self._url = hf_hub_url(
            file.dataset, file.path, repo_type="dataset", revision=file.commit, endpoint=self._api.endpoint
        )
        self._expected: list[tuple[int, int]] = []
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._position = 0
        self.fetched = 0

    def expect(self, ranges: list[tuple[int, int]]) -> None:
        """Announce [start, stop) ranges, ordered, that will be read; neighbours are fetched together."""
        self._expected = []
        for start, stop in ranges:
            if self._expected and start - self._expected[-1][1] <= GAP_BYTES:
                self._expected[-1] = (self._expected[-1][0], max(stop, self._expected[-1][1]))
            else:
                self._expected.append((start, stop))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        end = self._file.size if size is None or size < 0 else min(self._position + size, self._file.size)
        pieces = []
        while self._position < end:
            start, block = self._block_at(self._position, end)
            piece = block[self._position - start : end - start]
            pieces.append(piece)
            self._position += len(piece)
        return b"".join(pieces)

    def readall(self) -> bytes:
        return self.read()

    def _block_at(self, position: int, end: int) -> tuple[int, bytes]:
        """A block that holds `position`; from memory, or fetched."""
        for start, block in self._blocks.items():
            if start <= position < start + len(block):
                self._blocks.move_to_end(start)
                return start, block
        stop = next((stop for start, stop in self._expected if start <= position < stop), None)
        if stop is None:
            return position, self._fetch(position, min(end, position + BLOCK_BYTES))
        block = self._fetch(position, min(stop, position + BLOCK_BYTES))
        self._blocks[position] = block
        while len(self._blocks) > BLOCKS_HELD:
            self._blocks.popitem(last=False)
        return position, block

    def _fetch(self, start: int, stop: int) -> bytes:
        with explained(self._file.dataset, self._file.commit, self._access):
            return patiently(lambda: self._get(start, stop), self._access)

    def _get(self, start: int, stop: int) -> bytes:
        from huggingface_hub.utils import (  # type: ignore[attr-defined]
            build_hf_headers,
            get_session,
            hf_raise_for_status,
        )

        headers = build_hf_headers(token=self._api.token, library_name="mannequin")
        headers |= {"range": f"bytes={start}-{stop - 1}", "accept-encoding": "identity"}
        with get_session().stream("GET", self._url, headers=headers, timeout=self._access.timeout_s) as response:
            if response.is_error:
                response.read()
            hf_raise_for_status(response)
            whole = response.status_code == 200 and (start, stop) == (0, self._file.size)
            if response.status_code != 206 and not whole:
                raise SourceError(f"{self._url} serves no ranges: download the dataset, use it as Parquet files.")
            data = b"".join(self._limited(response, stop - start))
        if len(data) != stop - start:
            raise SourceError(f"{self._url} gave {len(data)} bytes for {stop - start}: the file is not the one listed.")
        return data

    def _limited(self, response: "httpx.Response", most: int) -> Iterator[bytes]:
        taken = 0
        for piece in response.iter_bytes():
            taken += len(piece)
            self.fetched += len(piece)
            yield piece
            if taken > most:
                return


def patiently(ask: Callable[[], Answer], access: HubAccess) -> Answer:
    """Ask, and ask again after growing pauses while the trouble may pass; the last error is raised as it came."""
    import httpx
    from huggingface_hub.errors import HfHubHTTPError

    for pause in access.pauses_s:
        try:
            return ask()
        except (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError):
            time.sleep(pause)
        except HfHubHTTPError as error:
            if error.response.status_code not in PASSING_STATUS:
                raise
            told = error.response.headers.get("retry-after", "")
            time.sleep(min(max(pause, float(told) if told.isdigit() else 0), max(access.pauses_s) * 4))
    return ask()


@contextmanager
def explained(dataset: str, revision: str, access: HubAccess) -> Iterator[None]:
    """Turn what the client raises into one SourceError that says what to do.

    Raises:
        SourceError: the block failed because of the hub, the network, or what was asked for.
    """
    import httpx
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RevisionNotFoundError,
    )

    place = access.api().endpoint
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise SourceError(
            f"HF_HUB_OFFLINE forbids to ask {place} for {dataset}: unset it, or use local Parquet files or a folder."
        ) from error
    except HFValidationError as error:
        raise SourceError(f"{dataset!r} is no dataset id: it looks like owner/name.") from error
    except HfHubHTTPError as error:
        kind = MissingRevisionError if isinstance(error, RevisionNotFoundError) else SourceError
        raise kind(_refusal(error, dataset, revision, access)) from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise SourceError(
            f"{place} cannot be reached for {dataset} ({type(error).__name__}: {error}): check the network and "
            "HF_ENDPOINT, or use local Parquet files, a folder or mannequins."
        ) from error
    except (ValueError, KeyError) as error:
        raise SourceError(f"{place} does not answer as a Hugging Face hub ({error!r}): check HF_ENDPOINT.") from error


def _refusal(error: Exception, dataset: str, revision: str, access: HubAccess) -> str:
    from huggingface_hub.errors import (
        DisabledRepoError,
        GatedRepoError,
        HfHubHTTPError,
        RemoteEntryNotFoundError,
        RevisionNotFoundError,
    )

    place = access.api().endpoint
    response = error.response if isinstance(error, HfHubHTTPError) else None
    status = response.status_code if response is not None else 0
    said = response.headers.get("x-error-message", "") if response is not None else ""
    if isinstance(error, GatedRepoError):
        return f"{dataset} is gated: accept its terms at {place}/datasets/{dataset} and give that account's token."
    if isinstance(error, RevisionNotFoundError):
        return f"{dataset} has no revision {revision!r}: give a branch, tag or commit of it."
    if isinstance(error, RemoteEntryNotFoundError):
        return f"A file of {dataset} is not there at revision {revision!r}. List the source again."
    if isinstance(error, DisabledRepoError):
        return f"{place} has disabled access to {dataset}."
    if status == 401 and (access.token or "credentials" in said):
        return f"{place} refuses the token for {dataset} ({said or 'unauthorized'}): give a valid one, or none."
    if status in (401, 404):
        return f"{place} has no dataset {dataset}, or it is private: check the id, and give a token if it is private."
    if status == 403:
        return f"{place} forbids {dataset} to this token ({said or 'forbidden'}): give it the right to read it."
    if status in PASSING_STATUS:
        tries = len(access.pauses_s) + 1
        return f"{place} answered {status} for {dataset} {tries} times in a row: try again later."
    return f"{place} answers {status} for {dataset} ({said or 'without saying why'})."
