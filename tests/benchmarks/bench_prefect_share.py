"""The share of a run's wall time that Prefect costs: pose templates of real photos, through the flow and plainly.

    python -m tests.benchmarks.bench_prefect_share --rows 200

A flow on a Prefect server of its own builds; then plain Python, with as many threads, realises what the flow did in a
store of its own, and writes the same pictures, sheet and page. What the flow takes longer is Prefect. Then both again,
when all is found. MANNEQUIN_REAL_DATA names the photos and the weights.
"""

import argparse
import logging
import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tasks.machine.places import Machine
from tasks.poses.build import Build
from tests.benchmarks.bench_prefect_size import started
from tests.lineage.remake_builds import machine, publish, template_form


def main() -> None:
    """Time both, then both again, when all is found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--port", type=int, default=4398)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    real = Path(os.environ["MANNEQUIN_REAL_DATA"]).resolve()
    os.environ |= {"MANNEQUIN_MODELS": str(real / "models"), "MANNEQUIN_TRUST_FIRST_DOWNLOAD": "1"}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        server = started(options.port, home)
        try:
            measure(options.rows, home, real)
        finally:
            server.terminate()
            server.wait(30)


def measure(rows: int, home: Path, real: Path) -> None:
    """Say what each took."""
    from flows.pose_templates import pose_templates
    from tasks.lineage.remembered import recall_build
    from tasks.machine.runner import Runner
    from tasks.poses.build import FLOW
    from tasks.shards.manifest import read_manifest
    from tasks.shards.store import Store

    form = template_form(rows, kind="folder", location=str(real / "people" / "faces"))
    config = form.model_copy(
        update={
            "shard_rows": 16,
            "controls": False,
            "seeding": form.seeding.model_copy(update={"enabled": False}),
        }
    )
    pose_templates(config)  # imports and weights, in nobody's time
    for room in ("shards", "builds", "public"):
        shutil.rmtree(home / room)
    for told in ("made", "found"):
        began = time.perf_counter()
        summary = pose_templates(config)
        through = time.perf_counter() - began
        build = recall_build(Store(home), read_manifest(Store(home), FLOW, summary.manifest), Build)
        began = time.perf_counter()
        plainly(build, machine(home / "plain", real / "models"), Runner().width)
        alone = time.perf_counter() - began
        parts = sum(len(read.parts) for read in build.read)
        print(
            f"{told}: {parts} parts, {sum(build.templates.values())} templates; flow {through:.1f} s, "
            f"plain {alone:.1f} s: {through - alone:.1f} s or {100 * (through - alone) / through:.0f} % is Prefect's"
        )


def plainly(build: Build, here: Machine, threads: int) -> None:
    """What the flow does, by function calls."""
    from tasks.exports.previews import publish_previews
    from tasks.models.cards import CARDS
    from tasks.poses.build import FLOW
    from tasks.poses.derivations import part_chain, selection, templates
    from tasks.poses.report import sample_uris
    from tasks.reports.build_facts import BuildFacts
    from tasks.reports.examples import Examples
    from tasks.reports.page import write_report
    from tasks.reports.sheet import sheet_markdown
    from tasks.reports.whole import whole_page
    from tasks.shards.derive import realise, realise_whole
    from tasks.shards.manifest import build_manifest

    chains = [part_chain(read, part, build.config, here) for read in build.read for part in read.parts]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda chain: realise(chain.preview, here.store), chains))
    joined = realise_whole(templates(build.read, build.config, here), here.store).record
    steps = {
        **{
            name: [getattr(chain, name) for chain in chains]
            for name in ("photos", "inspected", "keypoints", "described")
        },
        "selected": [selection(each, build.config, here) for each in build.read],
        "previews": [chain.preview for chain in chains],
    }
    outputs = {name: [realise(step, here.store).record for step in steps[name]] for name in steps}
    manifest = build_manifest(here.store, FLOW, build.config.build_params(), {"templates": [joined], **outputs}, CARDS)
    publish(here, manifest, build)
    table = here.store.data_path(joined)
    previews = [here.store.data_path(realise_whole(chain.preview, here.store).record) for chain in chains]
    publish_previews(here.store, previews, sample_uris(table))
    facts = BuildFacts.of(here.store, manifest.flow, manifest.digest)
    examples = Examples.of(facts)
    sheet_markdown(facts, examples)
    write_report(facts, whole_page(facts, examples))


if __name__ == "__main__":
    main()
