"""What is written of a finished dataset: the folders, the tables, and pages to look at."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from tasks.audit.rates import ErrorRate
from tasks.body.smooth import Smoothing, smoothed
from tasks.body.wholebody import OPENPOSE_134
from tasks.dance.overview import Overview, SampleView, overview_page
from tasks.dance.show import side_by_side
from tasks.exports.m2p_join import Moved, VideoShards, folder_name
from tasks.exports.m2p_tables import export_m2p_tables
from tasks.exports.m2p_tree import export_m2p_tree
from tasks.exports.owned import OwnedFolder
from tasks.m2p.config import ExportRules
from tasks.schema.clips import CLIP_FPS
from tasks.schema.keypoints import Keypoints
from tasks.shards.files import LocalFiles
from tasks.shards.manifest import Manifest

TITLE = "Music to pose"


def write_exports(
    videos: Sequence[VideoShards],
    samples: Path,
    folder: Path,
    rules: ExportRules,
    manifest: Manifest,
    audited: Sequence[ErrorRate],
    overview: Overview,
) -> tuple[Path, ...]:
    """Write what was asked for, or bring it up to date; returns the folders.

    Args:
        videos: shards of all videos.
        samples: the shard of the split.
        audited: error rates of the build, for the card.
        overview: what the page says beside the samples.
    """
    made = []
    moved = _smoothing(rules.smoothing)
    if "folders" in rules.formats:
        made.append(export_m2p_tree(videos, samples, folder, manifest=manifest, moved=moved).folder)
    tables = [form for form in ("parquet", "webdataset") if form in rules.formats]
    if tables:
        beside = folder / "tables"
        made.append(
            export_m2p_tables(
                videos, samples, beside, tables, title=TITLE, manifest=manifest, audited=audited, moved=moved
            ).folder
        )
    if rules.shown:
        made.append(_write_pages(videos, samples, folder / "overview", rules, overview))
    return tuple(made)


def _smoothing(rules: Smoothing) -> Moved | None:
    if rules.method == "none":
        return None
    return lambda xy, confidence: smoothed(Keypoints.from_arrays(OPENPOSE_134, xy, confidence), CLIP_FPS, rules).xy


def views(videos: Sequence[VideoShards], samples: Path, count: int) -> Iterator[SampleView]:
    """So many samples, spread evenly over all, with all that is shown of them."""
    ids = pq.read_table(samples, columns=["sample_id"])["sample_id"].to_pylist()
    number = min(count, len(ids))
    wanted = {ids[(2 * n + 1) * len(ids) // (2 * number)] for n in range(number)}
    for shards in videos:
        here = [("sample_id", "in", sorted(wanted))]
        rows = {
            name: {row["sample_id"]: row for row in pq.read_table(path, filters=here).to_pylist()}
            for name, path in {
                "sample": samples,
                "audit": shards.audit,
                "reference": shards.reference,
                "poses": shards.poses,
                "music": shards.music,
                "cut": shards.cut,
            }.items()
        }
        for sample_id in rows["audit"]:
            yield SampleView(**{name: of[sample_id] for name, of in rows.items()})


def _write_pages(
    videos: Sequence[VideoShards], samples: Path, folder: Path, rules: ExportRules, overview: Overview
) -> Path:
    """One page, and clips that play beside their skeletons and music."""
    with OwnedFolder(folder, LocalFiles()) as out:
        out.put({"index.html": overview_page(overview, views(videos, samples, rules.shown)).encode()})
        for view in views(videos, samples, rules.played):
            name = f"{folder_name(view.sample['sample_id'])}.mp4"
            clip = view.cut["clip"]["bytes"]
            if not out.keep(name, made_from := view.cut["clip_digest"] + view.poses["pose_model"]):
                out.put({name: side_by_side(clip, view.poses, view.music)}, {name: made_from})
        out.finish()
    return folder
