"""Music to pose: dance videos -> clips of one dancer with sound -> poses, music features, reference, face -> samples.

Requires: the blocks named by `places` (each has a default that needs no service and no account), and the weights of the
models that `config` names.
"""

import os

from prefect import flow
from prefect.futures import wait
from prefect.task_runners import ThreadPoolTaskRunner

from tasks.m2p.build import Summary
from tasks.m2p.config import MusicToPoseForm
from tasks.m2p.task import (
    export_samples,
    list_source,
    look_at_video,
    open_build,
    publish_build,
    report_build,
    split_samples,
)
from tasks.machine.places import PlaceNames
from tasks.reports.task import send_controls, write_page

WORKERS = os.cpu_count() or 2
HERE = PlaceNames()


@flow(name="music_to_pose", task_runner=ThreadPoolTaskRunner(max_workers=WORKERS))  # type: ignore[arg-type]
def music_to_pose(config: MusicToPoseForm, places: PlaceNames = HERE) -> Summary:
    """Turn dance videos into samples as far as `config.until`; what was made before is found, not made again."""
    entries = [entry for source in config.sources for entry in list_source(source, places)]
    looks = [look_at_video.submit(entry, config, places) for entry in entries]
    wait(looks)
    build = open_build(tuple(look.result() for look in looks), config, places)
    if "split" in config.steps:
        split_samples(build, places)
    build = publish_build(build, places)
    exports = export_samples(build, places) if "exports" in config.steps else ()
    if config.controls:
        send_controls(build, places)
    write_page(build, places)
    return report_build(build, exports, places)
