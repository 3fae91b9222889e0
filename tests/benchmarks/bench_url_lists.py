"""Listing `url.lst` against a plain Python loop that does the same: split, check, hash parts, find repeated rows.

    python tests/benchmarks/bench_url_lists.py --lines 2000000

One line in a hundred is malformed and one repeats an earlier one. Both run `--repeats` times, in turn; told are
medians, and the memory that listing took at its peak, over what the process had before.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import numpy as np

from tasks.ingest.hub import HubAccess
from tasks.ingest.url_lists import IngestUrls, list_urls
from tasks.schema.url_sources import UrlListing, UrlSource
from tasks.shards.store import Store

PART_ROWS = 100_000


def write_list(path: Path, lines: int) -> None:
    """A list of about 105 bytes a line, of 40,000 labels."""
    drawn = np.random.default_rng(0)
    with path.open("w") as file:
        for first in range(0, lines, 100_000):
            kinds = drawn.integers(0, 100, 100_000).tolist()
            names = drawn.integers(0, 1 << 62, 100_000).tolist()
            for number, (kind, name) in enumerate(zip(kinds, names, strict=True), first):
                label, server, page = number % 40_000, number % 97, name % 1_000_003
                address = f"images{server}.example.org/photos/{name:016x}/{page}_large.jpg?w=640"
                if kind == 0:
                    file.write(f"{number} person_{label:06d} ftp://{address}\n")
                elif kind == 1:
                    file.write(f"{number} person_000001 https://images.example.org/{name % 97}.jpg\n")
                else:
                    file.write(f"{number} person_{label:06d} https://{address}\n")


def plain_loop(path: Path) -> tuple[int, int, int]:
    """Lines, malformed and repeated ones of a list, one line after the other; nothing bounds its memory."""
    seen: set[bytes] = set()
    lines = malformed = repeated = 0
    digest = sha256()
    with path.open("rb") as file:
        for line in file:
            lines += 1
            digest.update(line)
            if lines % PART_ROWS == 0:
                digest = sha256()
            fields = line.decode().split()
            url = fields[-1]
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                malformed += 1
                continue
            said = sha256(" ".join(fields[1:]).encode()).digest()[:12]
            if said in seen:
                repeated += 1
            seen.add(said)
    return lines, malformed, repeated


def timed(work: Callable[[], tuple[int, int, int]]) -> tuple[float, tuple[int, int, int]]:
    began = time.perf_counter()
    answer = work()
    return time.perf_counter() - began, answer


def peak_mb() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Time both in turn, then the stage over one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--alone", action="store_true", help="no plain loop: for lists that it could not hold")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder).resolve() / "url.lst"
        store = Store(path.parent / "store")
        write_list(path, options.lines)
        wanted = UrlSource(name="bench", location=str(path))
        listings: list[UrlListing] = []

        def listed() -> tuple[int, int, int]:
            listing = list_urls(wanted, HubAccess(), store, PART_ROWS, options.threads)
            listings.append(listing)
            return listing.rows, listing.malformed, listing.repeated

        before = peak_mb()
        ours: list[float] = []
        plain: list[float] = []
        for _ in range(options.repeats):
            took, found = timed(listed)
            ours.append(took)
            if len(ours) == 1:
                print(f"{path.stat().st_size / 1e6:,.0f} MB; listing took {peak_mb() - before:,.0f} MB of memory")
            if not options.alone:
                took, wanted_counts = timed(lambda: plain_loop(path))
                plain.append(took)
                assert found == wanted_counts, (found, wanted_counts)
        lines, malformed, repeated = found
        print(f"{lines:,} lines, {malformed:,} malformed, {repeated:,} repeated")
        print(f"listing     {median(ours):7.2f} s  {lines / median(ours) / 1e6:6.2f} million lines/s")
        if plain:
            print(f"plain loop  {median(plain):7.2f} s  {lines / median(plain) / 1e6:6.2f} million lines/s")
            print(f"ratio       {median(p / o for p, o in zip(plain, ours, strict=True)):7.2f}")
        stage = IngestUrls.of(wanted, listings[-1], listings[-1].parts[0])
        began = time.perf_counter()
        kept = sum(output.kept.num_rows for output in stage.process(iter(())))
        took = time.perf_counter() - began
        print(f"stage       {took:7.2f} s  {stage.config.rows / took / 1e6:6.2f} million lines/s ({kept:,} kept)")


if __name__ == "__main__":
    main()
