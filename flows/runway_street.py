"""Runway to street: fashion photos -> embeddings -> categories learned from street labels -> tables and trends.

Requires: the blocks named by `places` (each has a default that needs no service and no account), and the weights of the
model that `config` names.
"""

from prefect import flow

from tasks.machine.places import PlaceNames
from tasks.machine.runner import HERE_RUNNER, Runner
from tasks.mapping.task import mapping
from tasks.reports.task import send_controls, show_build
from tasks.runway_street.build import Summary
from tasks.runway_street.config import RunwayStreetForm
from tasks.runway_street.derivations import parts_of
from tasks.runway_street.task import (
    compare_sides,
    export_build,
    group_looks,
    learn_categories,
    list_source,
    look_at_parts,
    open_build,
    predict_parts,
    publish_build,
    report_build,
)
from tasks.watching.task import WATCHED

HERE = PlaceNames()


@flow(name="runway_street", **WATCHED)
def runway_street(config: RunwayStreetForm, places: PlaceNames = HERE, runner: Runner = HERE_RUNNER) -> Summary:
    """Compare the runway with the street as far as `config.until`; what was made before is found, not made again."""
    read = tuple(part for source in config.sources for part in parts_of(list_source(source, config, places)))
    with mapping(runner) as mapped:
        mapped(look_at_parts, read, config, places, runner)
        build = open_build(read, config, places)
        if "groups" in config.steps:
            group_looks(build, places)
        if not {"classifier", "predict"}.isdisjoint(config.steps):
            classifier = learn_categories.submit(build, places).result()
            if "predict" in config.steps:
                mapped(predict_parts, read, classifier, config, places)
    if "trends" in config.steps:
        compare_sides(build, places)
    build = publish_build(build, places)
    exports = export_build(build, places) if "exports" in config.steps else ()
    if config.controls:
        send_controls(build, places)
    show_build(build, places)
    return report_build(build, exports, places)
