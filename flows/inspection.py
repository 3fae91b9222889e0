"""`mannequin explain`, `remake`, `report`, `audit`, `compare`, `similar`: questions about what was made."""

from pathlib import Path
from typing import Annotated

import typer

from flows.places import database_uri, named_store, this_machine
from flows.printing import ERR, OUT, errors_explained, table_lines

app = typer.Typer()


@app.command()
def explain(
    what: Annotated[str, typer.Argument(help="Id of a sample or its beginning, a file, an address, a template's id.")],
    exports: Annotated[
        list[Path] | None, typer.Option("--exports", help="A folder of exports outside the store; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    store: Annotated[str, typer.Option(help="Name of a Store block.")] = "default",
) -> None:
    """Tell where a sample comes from, what every stage made of it, and why it is missing where it is."""
    with errors_explained():
        from tasks.lineage.explain import explain as explained
        from tasks.lineage.text import lines_of

        answer = explained(named_store(store), what, exports or ())
        OUT.print(answer.model_dump_json(indent=1) if as_json else "\n".join(lines_of(answer)), markup=False)


@app.command()
def remake(
    what: Annotated[str, typer.Argument(help="As of `explain`.")],
    stage: Annotated[str, typer.Option(help="Up to this stage; default: the last that the sample stands in.")] = "",
    flow: Annotated[str, typer.Option(help="Of this flow; default: the one that holds the sample.")] = "",
    whole: Annotated[bool, typer.Option("--whole", help="Also run stages over all samples again.")] = False,
    store: Annotated[str, typer.Option(help="Name of a Store block.")] = "default",
    models: Annotated[str, typer.Option(help="Name of a ModelZoo block.")] = "default",
) -> None:
    """Make a sample again from its source, stage by stage, and compare; ends with 1 where something differs."""
    with errors_explained():
        from tasks.lineage.remake import remake_sample
        from tasks.lineage.remake_text import remade_lines

        remade = remake_sample(this_machine(store, models), what, flow=flow, stage=stage, whole=whole)
        OUT.print("\n".join(remade_lines(remade)), markup=False)
        if not remade.equal:
            raise typer.Exit(1)


@app.command()
def report(
    build: Annotated[str, typer.Argument(help="Name of a flow (its latest build), or the beginning of a digest.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file; default: in the store.")] = None,
    store: Annotated[str, typer.Option(help="Name of a Store block.")] = "default",
) -> None:
    """Write an offline page on a build: funnel, rejects with pictures, distributions, samples, licences."""
    with errors_explained():
        from tasks.reports.build_facts import BuildFacts
        from tasks.reports.examples import Examples
        from tasks.reports.page import write_report
        from tasks.reports.whole import whole_page

        facts = BuildFacts.named(named_store(store), build)
        OUT.print(str(write_report(facts, whole_page(facts, Examples.of(facts)), output)), markup=False)


@app.command()
def audit(
    build: Annotated[str, typer.Argument(help="As of `report`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder for the sheet.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many random samples.")] = 200,
    store: Annotated[str, typer.Option(help="Name of a Store block.")] = "default",
    models: Annotated[str, typer.Option(help="Name of a ModelZoo block.")] = "default",
) -> None:
    """Write a sheet of random samples for a person to judge, as a page and a table; `verdicts` reads it back."""
    with errors_explained():
        from tasks.audit.flows import write_audit
        from tasks.reports.build_facts import BuildFacts

        here = this_machine(store, models)
        written = write_audit(BuildFacts.named(here.store, build), count, output.resolve(), here)
        OUT.print(f"{written} samples in {output / 'audit.html'} and {output / 'audit.csv'}", markup=False)


@app.command()
def compare(
    before: Annotated[str, typer.Argument(help="As of `report`: the earlier build.")],
    after: Annotated[str, typer.Argument(help="The later build.")],
    store: Annotated[str, typer.Option(help="Name of a Store block.")] = "default",
) -> None:
    """Tell what came, what went and what changed between two builds of a flow, and why."""
    with errors_explained():
        from tasks.reports.build_facts import BuildFacts
        from tasks.reports.compare import compare as compared
        from tasks.reports.compare import comparison_lines

        where = named_store(store)
        found = compared(BuildFacts.named(where, before), BuildFacts.named(where, after))
        OUT.print("\n".join(comparison_lines(found)), markup=False)


@app.command()
def similar(
    what: Annotated[str, typer.Argument(metavar="TEMPLATE|PHOTO", help="Id of a template, or a photo or drawing.")],
    count: Annotated[int, typer.Option("--count", "-k", min=1, help="How many templates.")] = 10,
    model: Annotated[
        str | None, typer.Option(help="Name of a pose model's card; empty: drawings only. Default: as the flow.")
    ] = None,
    database: Annotated[str, typer.Option(help="Name of a Database block.")] = "default",
    store: Annotated[str, typer.Option(help="Name of a Store block, for the previews.")] = "default",
    models: Annotated[str, typer.Option(help="Name of a ModelZoo block.")] = "default",
) -> None:
    """Show the templates whose poses are most like a template's, or that of the main person on a photo."""
    with errors_explained():
        from tasks.poses.search import as_rows, photo_unless_id, pose_on_photo, similar_to_id, similar_to_pose

        photo = photo_unless_id(what)
        uri, here = database_uri(database), this_machine(store, models)
        root, zoo = here.store.root, here.zoo
        if photo is None:
            hits = similar_to_id(uri, what, count)
        else:
            found = pose_on_photo(photo, zoo, model)
            hits = similar_to_pose(uri, found.person, count)
            joints = f"{int(found.person.present.sum())} of {len(found.person.layout)} joints"
            ERR.print(f"Main person of {found.people}: {joints}, from {found.source}", markup=False)
        rows = as_rows(hits, root)
        OUT.print("\n".join(table_lines(rows)) if rows else "No other template is active.", markup=False)
