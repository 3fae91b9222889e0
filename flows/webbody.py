"""WebBody: URL lists -> photos -> bodies -> faces -> identities -> bundles and subsets of bodies with their faces.

Requires: the blocks named by `places` (each has a default that needs no service and no account), and the weights of the
models that `config` names. In the EU untargeted scraping of faces for recognition is prohibited since February 2025.
"""

import os

from prefect import flow
from prefect.futures import wait
from prefect.task_runners import ThreadPoolTaskRunner

from tasks.machine.places import PlaceNames
from tasks.reports.task import send_controls, write_page
from tasks.webbody.build import Summary, groups_of, shared_out
from tasks.webbody.config import WebBodyForm
from tasks.webbody.derivations import PartRead, parts_of
from tasks.webbody.task import (
    clean_identities,
    divide_members,
    download_parts,
    erase_embeddings,
    export_bundles,
    export_intermediate,
    export_review,
    link_faces,
    list_urls,
    look_at_part,
    open_build,
    publish_build,
    report_build,
)

WORKERS = os.cpu_count() or 2
HERE = PlaceNames()


@flow(name="webbody", task_runner=ThreadPoolTaskRunner(max_workers=WORKERS))  # type: ignore[arg-type]
def webbody(config: WebBodyForm, places: PlaceNames = HERE) -> Summary:
    """Build WebBody as far as `config.until`; what was made before is found, not made again."""
    listed = [part for source in config.sources for part in parts_of(list_urls(source, config, places))]
    read = look_at_parts(fetch(shared_out(listed, config.share), config, places), config, places)
    build = open_build(read, config, places)
    for step, join in {"identities": link_faces, "clean": clean_identities, "members": divide_members}.items():
        if step in config.steps:
            join.submit(build, places).result()
    build = publish_build(build, places)
    wanted = (export_bundles, export_intermediate, export_review) if "exports" in config.steps else ()
    exports = tuple(folder for export in wanted for folder in export(build, places))
    if config.controls:
        send_controls(build, places)
    summary = report_build(build, places)
    write_page(build, places)
    if "members" in config.steps and not config.recognition.keep_embeddings:
        erase_embeddings(build, places)
    return summary.model_copy(update={"exports": exports})


def fetch(parts: tuple[PartRead, ...], config: WebBodyForm, places: PlaceNames) -> tuple[PartRead, ...]:
    """The photos of all parts, some parts a task."""
    groups = [download_parts.submit(group, config, places) for group in groups_of(parts, config, WORKERS)]
    wait(groups)
    return tuple(part for group in groups for part in group.result())


def look_at_parts(parts: tuple[PartRead, ...], config: WebBodyForm, places: PlaceNames) -> tuple[PartRead, ...]:
    """People, faces and embeddings of all parts, a part a task."""
    if config.last_look is not None:
        looks = [look_at_part.submit(part, config, places) for part in parts]
        wait(looks)
        [look.result() for look in looks]
    return parts
