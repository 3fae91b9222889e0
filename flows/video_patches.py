"""Video patches: films -> windows of seven frames -> ground truth and low-resolution stacks for super-resolution.

Requires: an ffmpeg with zscale (the one that imageio-ffmpeg brings), and the blocks named by `places`, each of which
has a default that needs no service and no account.
"""

from prefect import flow

from tasks.machine.places import PlaceNames
from tasks.machine.runner import HERE_RUNNER, Runner
from tasks.mapping.task import mapping
from tasks.patches.build import Summary, groups_of
from tasks.patches.config import VideoPatchesForm
from tasks.patches.task import cut_pieces, list_films, look_at_films, open_build, publish_build, report_build
from tasks.reports.task import send_controls, show_build
from tasks.watching.task import WATCHED

HERE = PlaceNames()


@flow(name="video_patches", **WATCHED)
def video_patches(config: VideoPatchesForm, places: PlaceNames = HERE, runner: Runner = HERE_RUNNER) -> Summary:
    """Cut films into patches as far as `config.until`; what was made before is found, not made again."""
    config = list_films(config, places)
    with mapping(runner) as mapped:
        build = open_build(mapped(look_at_films, config.films, config, places), config, places)
        cuts = tuple(cut_pieces(group, build, places, runner) for group in groups_of(build, mapped.most))
    build = publish_build(build, cuts, places)
    if config.controls:
        send_controls(build, places)
    show_build(build, places)
    return report_build(build, places)
