"""WebBody: URL lists -> photos -> bodies -> faces -> identities -> bundles and subsets of bodies with their faces.

Requires: the blocks named by `places` (each has a default that needs no service and no account), and the weights of the
models that `config` names. In the EU untargeted scraping of faces for recognition is prohibited since February 2025.
"""

from prefect import flow

from tasks.machine.places import PlaceNames
from tasks.machine.runner import HERE_RUNNER, Runner
from tasks.mapping.task import mapping
from tasks.reports.task import send_controls, show_build
from tasks.watching.task import WATCHED
from tasks.webbody.build import Summary, shared_out
from tasks.webbody.config import JOINED, WebBodyForm
from tasks.webbody.derivations import parts_of
from tasks.webbody.linkage import LinkageForm
from tasks.webbody.task import (
    clean_identities,
    divide_members,
    download_parts,
    erase_embeddings,
    export_bundles,
    export_intermediate,
    export_review,
    find_neighbours,
    link_apart,
    link_faces,
    list_urls,
    look_at_parts,
    open_build,
    publish_build,
    report_build,
)

HERE = PlaceNames()
LATEST = LinkageForm()


@flow(name="webbody", **WATCHED)
def webbody(config: WebBodyForm, places: PlaceNames = HERE, runner: Runner = HERE_RUNNER) -> Summary:
    """Build WebBody as far as `config.until`; what was made before is found, not made again."""
    listed = [part for source in config.sources for part in parts_of(list_urls(source, config, places))]
    with mapping(runner) as mapped:
        read = mapped(download_parts, shared_out(listed, config.share), config, places)
        if config.last_look is not None:
            mapped(look_at_parts, read, config, places, runner)
    build = open_build(read, config, places)
    joins = (find_neighbours, link_faces, clean_identities, divide_members)
    for step, join in zip(JOINED, joins, strict=True):
        if step in config.steps:
            join.submit(build, places).result()
    build = publish_build(build, places)
    wanted = (export_bundles, export_intermediate, export_review) if "exports" in config.steps else ()
    exports = tuple(folder for export in wanted for folder in export(build, places))
    if config.controls:
        send_controls(build, places)
    summary = report_build(build, places)
    show_build(build, places)
    if "members" in config.steps and not config.recognition.keep_embeddings:
        erase_embeddings(build, places)
    return summary.model_copy(update={"exports": exports})


@flow(name="webbody_linkage", **WATCHED)
def webbody_linkage(config: LinkageForm = LATEST, places: PlaceNames = HERE) -> int:
    """Link the faces of a build on a machine without torch: webbody ran until its neighbours, and finds this after."""
    return int(link_apart.submit(config, places).result())
