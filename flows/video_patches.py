"""Video patches: films -> windows of seven frames -> ground truth and low-resolution stacks for super-resolution.

Requires: an ffmpeg with zscale (the one that imageio-ffmpeg brings), and the blocks named by `places`, each of which
has a default that needs no service and no account.
"""

import os

from prefect import flow
from prefect.futures import wait
from prefect.task_runners import ThreadPoolTaskRunner

from tasks.machine.places import PlaceNames
from tasks.patches.build import Summary, groups_of
from tasks.patches.config import VideoPatchesForm
from tasks.patches.task import cut_pieces, look_at_film, open_build, publish_build, report_build
from tasks.reports.task import send_controls, write_page

WORKERS = os.cpu_count() or 2
HERE = PlaceNames()


@flow(name="video_patches", task_runner=ThreadPoolTaskRunner(max_workers=WORKERS))  # type: ignore[arg-type]
def video_patches(config: VideoPatchesForm, places: PlaceNames = HERE) -> Summary:
    """Cut films into patches as far as `config.until`; what was made before is found, not made again."""
    looks = [look_at_film.submit(film, config, places) for film in config.films]
    wait(looks)
    build = open_build(tuple(look.result() for look in looks), config, places)
    cuts = tuple(cut_pieces(group, build, places) for group in groups_of(build))
    build = publish_build(build, cuts, places)
    if config.controls:
        send_controls(build, places)
    write_page(build, places)
    return report_build(build, places)
