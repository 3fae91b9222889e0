"""WebDataset: tar files whose entries of one sample stand side by side and share the name up to the first dot.

Equal samples give equal bytes: entries are written in order, owned by nobody, dated 1970.
"""

import tarfile
from collections.abc import Iterator, Mapping
from typing import IO, Final

from tasks.schema.errors import StoreError

_MODE: Final = 0o444
_BLOCK: Final = tarfile.BLOCKSIZE


class TarShard:
    """Writes samples to an open stream as a tar file."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.size = 0

    def add(self, key: str, entries: Mapping[str, bytes]) -> None:
        """Append a sample: extension -> bytes, sorted by extension. The key has no dot."""
        for extension, data in sorted(entries.items()):
            head = tarfile.TarInfo(f"{key}.{extension}")
            head.size, head.mode = len(data), _MODE
            self._write(head.tobuf(tarfile.USTAR_FORMAT))
            self._write(data + b"\0" * (-len(data) % _BLOCK))

    def finish(self) -> None:
        """Write the end of the archive, filled to a whole record as `tar` does."""
        self._write(b"\0" * (2 * _BLOCK))
        self._write(b"\0" * (-self.size % tarfile.RECORDSIZE))

    def _write(self, data: bytes) -> None:
        self._stream.write(data)
        self.size += len(data)


def read_samples(stream: IO[bytes]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Key and entries (extension -> bytes) of each sample of an open tar file.

    Raises:
        StoreError: the file is cut off or no tar file.
    """
    key, entries = "", dict[str, bytes]()
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for entry in tar:
                name, _, extension = entry.name.partition(".")
                if name != key and entries:
                    yield key, entries
                    entries = {}
                data = tar.extractfile(entry)
                key, entries[extension] = name, data.read() if data else b""
    except (tarfile.TarError, EOFError) as error:
        raise StoreError(f"a tar file is damaged: {error}") from error
    if entries:
        yield key, entries
