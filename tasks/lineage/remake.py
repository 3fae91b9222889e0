"""Any row of a build made again from its source, stage by stage, and compared with what the store holds.

Every stage is given the rows that the store holds, after those were compared themselves: what differs is laid at the
stage that made it differ, and allowed differences do not add up. Photos of web addresses are taken as they were
fetched, for servers change. Nothing is written into the store.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from tasks.lineage.find import find_samples
from tasks.lineage.remake_flows import Node, OpenBuild, RemakeError, open_build, published
from tasks.lineage.remake_result import Remade
from tasks.lineage.remake_rows import holds
from tasks.lineage.remake_walk import Walk
from tasks.machine.places import Machine
from tasks.schema.errors import MannequinError
from tasks.shards.manifest import Manifest, read_manifest
from tasks.shards.store import Store

_LANES = 4
"""Stages that run at once: some of them wait for a child process, most of them for a core."""


def remake(build: OpenBuild, sample_id: str, stage: str = "", *, whole: bool = False) -> Remade:
    """Make a row of a build again.

    Args:
        build: an open one.
        sample_id: of the row.
        stage: the last one to run; empty: the last in which the row stands.
        whole: stages of all rows together are run again too, with all rows; else their rows are taken over.
    Raises:
        RemakeError: there is no such row, or what it was made from is not there any more.
    """
    found = _standing(build.store, build.manifest, sample_id, stage)
    if found is None:
        where = f"stage {stage}" if stage else "stage"
        raise RemakeError(f"No {where} of {build.name} kept {sample_id!r}: `mannequin explain` says what became of it.")
    return remake_row(build, build.node(*found), sample_id, whole=whole)


def remake_row(build: OpenBuild, node: Node, sample_id: str, *, whole: bool = False) -> Remade:
    """As `remake`, of a row of a known output.

    Raises:
        RemakeError: what it was made from is not there any more.
    """
    with TemporaryDirectory(prefix="mannequin-remake-") as folder, ThreadPoolExecutor(_LANES, "remake") as lanes:
        walk = Walk(build, Path(folder), whole, lanes)
        try:
            walk.rows(node, (sample_id,))
            return Remade(sample_id, build.name, walk.compared())
        except RemakeError:
            raise
        except (MannequinError, OSError, LookupError, pa.ArrowException) as error:
            raise RemakeError(f"{sample_id} cannot be made again: {error}") from error
        finally:
            lanes.shutdown(cancel_futures=True)


def remake_sample(
    machine: Machine, query: str, *, flow: str = "", digest: str = "", stage: str = "", whole: bool = False
) -> Remade:
    """Make again what a person means: a sample id, its beginning, a file of an export, the id of a template.

    Args:
        machine: the store, and the weights that the stages run.
        query: what is meant.
        flow: whose build; empty: the first that has the row, the last build of each flow before older ones.
        digest: of a build, or its beginning; empty: any.
        stage: see `remake`.
        whole: see `remake`.
    Raises:
        RemakeError: several samples are meant, no build has the row, or what it was made from is gone.
        SampleNotFoundError: nothing is meant.
        StoreError: nothing says what the build was made from.
    """
    store = machine.store
    every = published(store)
    flows = sorted({name for name, _ in every})
    if flow and flows and flow not in flows:
        raise RemakeError(f"The store at {store.place} has no build of {flow!r}: it has some of {', '.join(flows)}.")
    builds = [(name, each) for name, each in every if (not flow or name == flow) and each.startswith(digest)]
    if not builds:
        raise RemakeError(f"The store at {store.place} has no such build: `mannequin status` says which there are.")
    sample_id = query
    manifest = _first_with(store, builds, sample_id, stage)
    if manifest is None:
        sample_id = _meant(store, query)
        manifest = _first_with(store, builds, sample_id, stage)
    if manifest is None:
        where = f"stage {stage}" if stage else "stage"
        raise RemakeError(f"No {where} of a build kept {sample_id!r}: `mannequin explain` says what became of it.")
    return remake(open_build(machine, manifest.flow, manifest.digest), sample_id, stage, whole=whole)


def _meant(store: Store, query: str) -> str:
    meant = find_samples(store, store.records(), query)
    if len(meant.sample_ids) != 1 or meant.more:
        several = ", ".join(meant.sample_ids[:5])
        raise RemakeError(f"{query!r} means {len(meant.sample_ids) + meant.more:,} samples, as {several}: name one.")
    return meant.sample_ids[0]


def _first_with(store: Store, builds: list[tuple[str, str]], sample_id: str, stage: str) -> Manifest | None:
    for flow, digest in builds:
        manifest = read_manifest(store, flow, digest)
        if _standing(store, manifest, sample_id, stage) is not None:
            return manifest
    return None


def _standing(store: Store, manifest: Manifest, sample_id: str, stage: str) -> tuple[str, str] | None:
    """Stage and key of the last output of a build that has the row."""
    for shard in reversed(manifest.shards):
        path = store.folder(shard.stage, shard.key) / shard.data.name
        try:
            wanted = (not stage or shard.stage == stage) and shard.data.rows > 0
            wanted = wanted and store.files.bring(path, shard.data) and path.exists()
            if wanted and holds(path, sample_id):
                return shard.stage, shard.key
        except (OSError, pa.ArrowException) as error:
            raise RemakeError(f"{path} does not read, `mannequin verify` says more: {error}") from error
    return None
