"""Pictures of patches on the page of a build: they lie in the tree of the export, not in the shards."""

from pathlib import Path

from tasks.lineage.remembered import recall_build
from tasks.reports.build_facts import BuildFacts
from tasks.reports.elements import Html, data_uri, inside, picture
from tasks.reports.page import Section
from tasks.schema.errors import StoreError

_SAID = "Some of every category: the ground truth beside its stacks of five and of seven frames in low resolution."


def patches_section(build: BuildFacts) -> Section | None:
    """A sheet of patches; None where the build has none, or its tree is not on this machine."""
    from tasks.patches.build import Build
    from tasks.patches.build_plan import DEFAULT_TREE
    from tasks.patches.sheet import contact_sheet, sample_rows

    if build.final_stage != "patches":
        return None
    try:
        config = recall_build(build.store, build.manifest, Build).config
    except StoreError:
        return None
    tree = Path(config.output) if config.output else build.store.root / DEFAULT_TREE
    rows = [row for row in sample_rows(build.paths("patches")) if (tree / row["gt_path"]).is_file()]
    if not rows:
        return None
    sheet = picture(data_uri(contact_sheet(rows, tree)), "Patches and their stacks")
    return Section("Patches", Html(f'<p class="fine">{inside(_SAID)}</p>\n{sheet}'))
