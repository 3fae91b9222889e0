"""Music to pose: dance videos -> clips of one dancer with sound -> poses, music features, reference, face -> samples.

Requires: the blocks named by `places` (each has a default that needs no service and no account), and the weights of the
models that `config` names.
"""

from prefect import flow

from tasks.m2p.build import Summary
from tasks.m2p.config import MusicToPoseForm
from tasks.m2p.task import (
    export_samples,
    list_source,
    look_at_videos,
    open_build,
    publish_build,
    report_build,
    split_samples,
)
from tasks.machine.places import PlaceNames
from tasks.machine.runner import HERE_RUNNER, Runner
from tasks.mapping.task import mapping
from tasks.reports.task import send_controls, show_build
from tasks.watching.task import WATCHED

HERE = PlaceNames()


@flow(name="music_to_pose", **WATCHED)
def music_to_pose(config: MusicToPoseForm, places: PlaceNames = HERE, runner: Runner = HERE_RUNNER) -> Summary:
    """Turn dance videos into samples as far as `config.until`; what was made before is found, not made again."""
    entries = [entry for source in config.sources for entry in list_source(source, places)]
    with mapping(runner) as mapped:
        read = mapped(look_at_videos, entries, config, places, runner)
    build = open_build(read, config, places)
    if "split" in config.steps:
        split_samples(build, places)
    build = publish_build(build, places)
    exports = export_samples(build, places) if "exports" in config.steps else ()
    if config.controls:
        send_controls(build, places)
    show_build(build, places)
    return report_build(build, exports, places)
