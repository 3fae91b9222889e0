"""Runs the flow in forked processes, kills them in every stage, and compares the ends with an undisturbed run.

    python -m tests.flows.kill_webbody FOLDER KILLS

MANNEQUIN_REAL_DATA names the real photos and weights. In one home every run is killed right after it committed a shard,
until all are committed, and then KILLS runs in what comes after: manifest, exports, report. In another the server goes
away in the middle of the downloads, once. Times of downloads differ between any two runs; everything else has to be
equal.
"""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flows.webbody import webbody
from tasks.shards.manifest import read_manifest
from tasks.shards.store import Store
from tasks.webbody.config import WebBodyForm
from tasks.webbody.derivations import PAUSE_GROWTH
from tests.download.url_server import UrlServer

PEOPLE = ("Ariel_Sharon", "Colin_Powell", "Hugo_Chavez", "George_W_Bush")
PHOTOS_EACH = 3
PAUSE_S = 5.0
"""Until a failed URL is tried again."""

TIMED = ["attempt", "fetched_at", "headers", "reuse"]


def photos(real: Path) -> dict[str, bytes]:
    """Name -> bytes of what the server offers."""
    files = [p for name in PEOPLE for p in sorted((real / "identities" / "lfw" / name).iterdir())[:PHOTOS_EACH]]
    files += [real / "badinputs" / "pillow_broken.png", real / "people" / "faces" / "no_face.jpg"]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in files}


def form(path: Path) -> WebBodyForm:
    """The flow's parameters for a list."""
    return WebBodyForm.model_validate(
        {
            "sources": [{"name": "web", "location": str(path)}],
            "purpose": {"purpose": "testing", "legal_basis": "consent", "jurisdiction": "EU"},
            "download": {"first_pause_h": PAUSE_S / 3600},
            "bodies": {"model": "yolov8n-pose-dequantised"},
            "faces": {"model": "retinaface-mobilenet0.25"},
            "recognition": {"model": "mobilefacenet-128"},
            "exports": {"recordio": True, "webdataset": True, "parquet": True},
            "part_rows": 8,
            "controls": False,
        }
    )


def forked(work: Callable[[], object], log: Path) -> int:
    """The id of a process that does the work and ends."""
    child = os.fork()
    if child == 0:
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(written, 1)
        os.dup2(written, 2)
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def serve(server: UrlServer, requests: int | None) -> None:
    """Answer, until as many requests were answered."""
    with server:
        while requests is None or len(server.requests) - sum(server.active.values()) < requests:
            time.sleep(0.002)
        os._exit(0)


def serving(files: dict[str, bytes], log: Path, port: int = 0, requests: int | None = None) -> tuple[int, int]:
    """The id and the port of a process that serves the files."""
    server = UrlServer(port=port)
    server.files.update(files)
    server.delay_s = 0.05
    child = forked(partial(serve, server, requests), log)
    server._listener.server_close()
    return child, server.port


def run(home: Path, listed: Path, kill: Callable[[int], None] | None = None) -> bool:
    """One run of the flow in a forked process; whether it came to its end. `kill` returns when it is time."""
    os.environ["MANNEQUIN_HOME"] = str(home)
    child = forked(lambda: webbody(form(listed)), home.with_suffix(".log"))
    if kill is not None:
        kill(child)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, -signal.SIGKILL):
        sys.exit(f"a run failed with {status}: {home.with_suffix('.log').read_text()[-3000:]}")
    return status == 0


def committed(home: Path) -> dict[str, int]:
    """How many shards of each stage were committed."""
    return Counter(path.parent.parent.name for path in home.glob("shards/*/*/record.json"))


def after_next_commit(home: Path, wait_s: float, finish_s: float, child: int) -> None:
    """Return some time after the next commit; where all is committed, during what comes after."""
    before = committed(home)
    if before.get("members"):
        time.sleep(finish_s * wait_s)
        return
    while committed(home) == before and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(0.005)
    time.sleep(wait_s)


def state(home: Path) -> dict[str, object]:
    """What a build left, but for the times of its downloads: rows by sample, rejects, and bytes of the exports."""
    store = Store(home)
    manifest = read_manifest(store, "webbody")
    found: dict[str, object] = {}
    for name, refs in manifest.outputs.items():
        records = [record for ref in refs if (record := store.read_record(ref.stage, ref.key)) is not None]
        tables = [pq.read_table(store.data_path(record)) for record in records if not record.erased]
        if tables:
            found[name] = _rows(pa.concat_tables(tables))
        found[f"{name} rows"] = sum(record.data.rows for record in records)
    for line in manifest.funnel.lines:
        if line.stage not in ("urls", "download", "retry_urls", "consent"):
            found[f"{line.stage} rejected"] = (line.rows_in, line.rejected, line.children_rejected)
    exports = home / "exports"
    for path in sorted(exports.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(exports))] = sha256(path.read_bytes()).hexdigest()
    return found


def _rows(table: pa.Table) -> dict[str, Any]:
    kept = table.drop_columns([name for name in TIMED if name in table.column_names])
    return {row["sample_id"]: row for row in kept.to_pylist()}


def told_by_the_manifest(name: str) -> bool:
    """Files that name the manifest, and so the times of the downloads."""
    return Path(name).suffix in (".json", ".md")


def differences(expected: dict[str, object], found: dict[str, object]) -> list[str]:
    """Names of what differs."""
    names = sorted(expected.keys() | found.keys())
    return [name for name in names if not told_by_the_manifest(name) and expected.get(name) != found.get(name)]


def in_any_order(state: dict[str, object]) -> dict[str, object]:
    """What stays equal where photos came in other attempts: the rows, and which of them are one identity.

    Row numbers, file names and the last bits of sums are others, and identities have the names that the build before
    gave them.
    """
    kept: dict[str, object] = {}
    for name, rows in state.items():
        if name == "neighbours":
            continue
        if isinstance(rows, dict):
            kept[name] = {sample: _nameless(row) for sample, row in rows.items()}
            if name in ("identities", "clean", "members"):
                together: dict[str, set[str]] = {}
                for sample, row in rows.items():
                    together.setdefault(row["identity"], set()).add(sample)
                kept[f"{name} together"] = {frozenset(samples) for samples in together.values()}
        elif "/" not in name:
            kept[name] = rows
    return kept


def _nameless(row: dict[str, Any]) -> dict[str, Any]:
    image = {"image": row["image"]["bytes"]} if "image" in row else {}
    names = ("identity", "former_identities", "similarity", "group_id", "split", "subsets")
    return {name: value for name, value in row.items() if name not in names} | image


def main(folder: str, kills: str) -> None:
    """Print what happened; exit status 1 where an end differs."""
    top, real = Path(folder), Path(os.environ["MANNEQUIN_REAL_DATA"]).resolve()
    os.environ |= {"MANNEQUIN_MODELS": str(real / "models"), "MANNEQUIN_ALLOW_NETWORKS": "127.0.0.0/8"}
    os.environ.pop("WEBBODY_DATA_ROOT", None)
    files = photos(real)
    server, port = serving(files, top / "server.log")
    listed = top / "web.lst"
    lines = [f"{n} {name.split('/')[0]} http://127.0.0.1:{port}/file/{name}" for n, name in enumerate(files)]
    listed.write_text("\n".join([*lines, "garbage", f"404 web http://127.0.0.1:{port}/status/404"]) + "\n")
    try:
        run(top / "calm", listed)
        began = time.monotonic()
        run(top / "calm", listed)
        finish_s = time.monotonic() - began
        expected = state(top / "calm")

        draw, killed, reached = np.random.default_rng(0), 0, Counter[str]()
        late = 0
        while late < int(kills):
            before = committed(top / "killed")
            wait_s = draw.uniform(0, 0.6)
            ended = run(top / "killed", listed, partial(after_next_commit, top / "killed", wait_s, finish_s))
            killed += not ended
            late += bool(before.get("members"))
            reached.update(
                stage for stage, shards in committed(top / "killed").items() if shards > before.get(stage, 0)
            )
        run(top / "killed", listed)
        different = [f"killed: {name}" for name in differences(expected, state(top / "killed"))]
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)

    server, _ = serving(files, top / "server.log", port, requests=len(files) // 2)
    run(top / "cut", listed)
    os.waitpid(server, 0)
    failed = dict(read_manifest(Store(top / "cut"), "webbody").funnel.line("download").rejected)
    server, _ = serving(files, top / "server.log", port)
    try:
        for pause_s in (PAUSE_S, PAUSE_S * PAUSE_GROWTH):
            time.sleep(pause_s)
            run(top / "cut", listed)
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
    cut = failed.get("connection_failed", 0)
    wrong = differences(in_any_order(expected), in_any_order(state(top / "cut")))
    different += [f"cut: {name}" for name in wrong]
    print(
        f"{killed} kills after commits of {dict(reached)}; {cut} URLs cut; {len(expected)} outputs each, "
        f"{len(different)} differ: {different[:12]}"
    )
    sys.exit(bool(different) or killed == 0 or not 0 < cut < len(files))


if __name__ == "__main__":
    main(*sys.argv[1:])
