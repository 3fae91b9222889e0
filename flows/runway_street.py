"""Runway to street: fashion photos -> embeddings -> categories learned from street labels -> tables and trends.

Requires: the blocks named by `places` (each has a default that needs no service and no account), and the weights of the
model that `config` names.
"""

import os

from prefect import flow
from prefect.futures import wait
from prefect.task_runners import ThreadPoolTaskRunner

from tasks.machine.places import PlaceNames
from tasks.reports.task import send_controls, write_page
from tasks.runway_street.build import Build, Summary
from tasks.runway_street.config import RunwayStreetForm
from tasks.runway_street.derivations import PartRead, parts_of
from tasks.runway_street.task import (
    compare_sides,
    export_build,
    group_looks,
    learn_categories,
    list_source,
    look_at_part,
    open_build,
    predict_part,
    publish_build,
    report_build,
)

WORKERS = os.cpu_count() or 2
HERE = PlaceNames()


@flow(name="runway_street", task_runner=ThreadPoolTaskRunner(max_workers=WORKERS))  # type: ignore[arg-type]
def runway_street(config: RunwayStreetForm, places: PlaceNames = HERE) -> Summary:
    """Compare the runway with the street as far as `config.until`; what was made before is found, not made again."""
    read = tuple(part for source in config.sources for part in parts_of(list_source(source, config, places)))
    look_at_parts(read, config, places)
    build = open_build(read, config, places)
    if "groups" in config.steps:
        group_looks(build, places)
    if "classifier" in config.steps:
        learn_categories(build, places)
    if "predict" in config.steps:
        predict(build, places)
    if "trends" in config.steps:
        compare_sides(build, places)
    build = publish_build(build, places)
    exports = export_build(build, places) if "exports" in config.steps else ()
    if config.controls:
        send_controls(build, places)
    write_page(build, places)
    return report_build(build, exports, places)


def look_at_parts(read: tuple[PartRead, ...], config: RunwayStreetForm, places: PlaceNames) -> None:
    """Photos, labels and embeddings of all parts, a part a task."""
    looks = [look_at_part.submit(part, config, places) for part in read]
    wait(looks)
    [look.result() for look in looks]


def predict(build: Build, places: PlaceNames) -> None:
    """Categories of all photos, a part a task."""
    predictions = [predict_part.submit(build, number, places) for number in range(len(build.read))]
    wait(predictions)
    [prediction.result() for prediction in predictions]
