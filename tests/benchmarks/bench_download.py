"""Our download against img2dataset by hand: the same list, the same server, the same threads.

`python -m tests.benchmarks.bench_download --urls 1000 --threads 64 --rounds 3`. The server is a process of its own that
answers after `--delay` seconds; its URLs are spread over loopback addresses, which stand for hosts. By hand means
`img2dataset.download` as the reference calls it, one process. Times are wall clock of the whole call, imports included.
"""

import argparse
import contextlib
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

HOSTS = 32
BY_HAND = """
import sys
from img2dataset import download

if __name__ == "__main__":
    download(
        url_list=sys.argv[1], output_folder=sys.argv[2], thread_count=int(sys.argv[3]), image_size=640,
        resize_mode="border", output_format="parquet", input_format="parquet", url_col="url", encode_quality=95,
        save_additional_columns=["idx", "label"], processes_count=1, number_sample_per_shard=100000, timeout=20,
        retries=1, enable_wandb=False,
    )
"""
OURS = """
import sys
from pathlib import Path

from tasks.download.fetching import Machine
from tasks.download.stage import Download, DownloadConfig
from tasks.download.transport import NetworkAccess
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.benchmarks.bench_download import listed

if __name__ == "__main__":
    threads, decoders = int(sys.argv[3]), int(sys.argv[4])
    machine = Machine(threads=threads, per_host=threads, decoders=decoders)
    stage = Download(DownloadConfig(), NetworkAccess(allow_networks=("127.0.0.0/8",)), machine)
    record = realise(Derivation(stage, (listed(sys.argv[1]),)), Store(Path(sys.argv[2]))).record
    assert not record.rejected, record.rejected
"""


def listed(path: str) -> object:
    """The URLs of a Parquet file as a source."""
    import pyarrow.parquet as pq

    from tasks.shards.derive import Derivation
    from tests.download.listed import ListedUrls, ListedUrlsConfig

    return Derivation(ListedUrls(ListedUrlsConfig(urls=tuple(pq.read_table(path)["url"].to_pylist()))))


def serve(delay_s: float, side: int, channel: Connection) -> None:
    """Run the server until the other end of the channel is closed."""
    from tests.download.url_server import UrlServer, jpeg

    with UrlServer() as server:
        server.delay_s = delay_s
        server.files = {f"{number}.jpg": jpeg(number, side, side * 3 // 4) for number in range(16)}
        channel.send(server.port)
        with contextlib.suppress(EOFError):
            channel.recv()


def timed(program: str, *arguments: str) -> tuple[float, float]:
    """Wall and processor time of a Python program and its children in seconds."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "WANDB_MODE": "disabled"}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "program.py"
        script.write_text(program)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, str(script), *arguments], env=environment, capture_output=True, check=False
        )
        spent = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stderr.decode()[-3000:])
    return spent, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Interleave both and print medians."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--urls", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--side", type=int, default=1000)
    parser.add_argument("--decoders", type=int, nargs="+", default=[1])
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(options.delay, options.side, theirs), daemon=True)
    server.start()
    port = ours.recv()
    urls = [f"http://127.0.0.{2 + n % HOSTS}:{port}/file/{n % 16}.jpg?{n}" for n in range(options.urls)]
    folder = Path(tempfile.mkdtemp())
    listing = folder / "urls.parquet"
    names = [str(n) for n in range(len(urls))]
    pq.write_table(pa.table({"url": urls, "idx": names, "label": names}), listing)
    spent: dict[str, list[tuple[float, float]]] = {}
    for round_ in range(options.rounds):
        spent.setdefault("img2dataset", []).append(
            timed(BY_HAND, str(listing), str(folder / f"theirs{round_}"), str(options.threads))
        )
        for decoders in options.decoders:
            name = f"ours, {decoders} decoder(s)"
            arguments = (str(listing), str(folder / f"ours{round_}-{decoders}"), str(options.threads), str(decoders))
            spent.setdefault(name, []).append(timed(OURS, *arguments))
        print(
            {name: [(round(wall, 1), round(cpu, 1)) for wall, cpu in times] for name, times in spent.items()},
            flush=True,
        )
    server.terminate()
    shutil.rmtree(folder)
    medians = {name: [statistics.median(each) for each in zip(*times, strict=True)] for name, times in spent.items()}
    base = medians["img2dataset"]
    for name, (wall, cpu) in medians.items():
        print(
            f"{name:20s} {wall:6.1f} s {options.urls / wall:7.1f} images/s {wall / base[0]:5.2f} x   "
            f"processor {cpu:6.1f} s {cpu / base[1]:5.2f} x"
        )


if __name__ == "__main__":
    main()
