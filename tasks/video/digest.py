"""What pins the bytes of a film."""

from pathlib import Path
from typing import Final

from blake3 import blake3

from tasks.ingest.remembered import Remembered, Watch

WHOLE_BYTES: Final = 1 << 30
END_BYTES: Final = 16 << 20
BLOCKS: Final = 256
BLOCK_BYTES: Final = 1 << 20

_DIGESTS: Remembered[str] = Remembered(entries=1024)
"""By path, for as long as device, inode, size and times stay."""


def film_digest(path: Path) -> str:
    """BLAKE3 in hex: of all bytes up to 1 GiB; of a larger film, of its size and a sample of its bytes.

    The sample are the first and last 16 MiB, where containers keep their indexes, and 256 blocks of 1 MiB evenly
    spaced between: 288 MiB in all, read in seconds where the whole film would take minutes. Another film, another cut,
    another encode and a copy that stopped on its way have other digests; a few changed bytes between the blocks are not
    seen.

    Raises:
        OSError: the file cannot be read.
    """

    def read(watch: Watch) -> str:
        watch(path)
        return _digest(path)

    return _DIGESTS.get(path.absolute(), read)


def _digest(path: Path) -> str:
    size = path.stat().st_size
    if size <= WHOLE_BYTES:
        return str(blake3(max_threads=1).update_mmap(path).hexdigest())
    found = blake3(b"sampled film", max_threads=1)
    found.update(size.to_bytes(8, "big"))
    between = size - 2 * END_BYTES - BLOCK_BYTES
    blocks = [(END_BYTES + between * number // (BLOCKS - 1), BLOCK_BYTES) for number in range(BLOCKS)]
    with path.open("rb", buffering=0) as film:
        for start, length in [(0, END_BYTES), *blocks, (size - END_BYTES, END_BYTES)]:
            film.seek(start)
            found.update(film.read(length))
    return str(found.hexdigest())
