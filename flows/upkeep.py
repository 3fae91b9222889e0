"""`mannequin verify`, `delete`, `verdicts`: keeping a store whole, and telling it what people know."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from flows.places import named_store
from flows.printing import OUT, errors_explained
from tasks.schema.errors import SourceError

app = typer.Typer()


class Subject(StrEnum):
    """What verdicts are about: doubtful faces, looks, or the audit sheet of a flow."""

    FACES = "faces"
    LOOKS = "looks"
    POSE_TEMPLATES = "pose_templates"
    WEBBODY = "webbody"
    VIDEO_PATCHES = "video_patches"
    MUSIC_TO_POSE = "music_to_pose"


@app.command()
def verify(
    store: Annotated[str, typer.Option(help="Name of a Store block.")] = "default",
    drop: Annotated[bool, typer.Option("--drop-damaged", help="Let the next run make damaged outputs again.")] = False,
) -> None:
    """Read every byte of a store and say what is not as it was written."""
    with errors_explained():
        where = named_store(store)
        if not where.root.exists():
            raise SourceError(f"There is no store at {where.root} yet: run a flow first.")
        from tasks.shards.verify import verify_store

        report = verify_store(where, drop_damaged=drop)
        size = f"{report.bytes / 1e6:,.1f} MB"
        OUT.print(f"{report.records} outputs, {report.files} files, {report.rows} rows, {size} read in {where.place}")
        for damage in report.damage:
            OUT.print(f"[red]{escape(damage.path)}[/]: {escape(damage.problem)}")
        if not report.ok:
            advice = f"{report.dropped} outputs are dropped" if drop else "`--drop-damaged` drops the outputs"
            raise SourceError(f"{len(report.damage)} things are damaged; {advice}, the next run makes them again.")
        OUT.print("All of it is as it was written.")


@app.command()
def delete(
    stage: Annotated[str, typer.Argument(help="Name of a stage, as people.")],
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it the command only says what would go.")] = False,
    store: Annotated[str, typer.Option(help="Name of a Store block.")] = "default",
) -> None:
    """Delete all that one stage ever made; the next run makes again what it needs."""
    with errors_explained():
        from tasks.shards.delete import delete_outputs, outputs_of

        where = named_store(store)
        found = outputs_of(where, stage)
        used = ", ".join(f"{count} of {name}" for name, count in found.made_of_them.items()) or "nothing"
        OUT.print(f"{stage}: {len(found.records)} outputs, {found.rows} rows, {found.bytes / 1e6:,.1f} MB")
        OUT.print(f"Made of them, and kept: {used}")
        if yes:
            delete_outputs(where, found)
        OUT.print("Deleted." if yes else "Nothing was deleted: `--yes` does it.")


@app.command()
def verdicts(
    source: Annotated[Path, typer.Argument(help="CSV; of faces also an export of Label Studio, or a FiftyOne folder.")],
    of: Annotated[Subject, typer.Option("--of", help="What they are about.")] = Subject.FACES,
    build: Annotated[str, typer.Option(help="Beginning of a build's digest; default: the flow's latest.")] = "",
    store: Annotated[str, typer.Option(help="Name of a Store block.")] = "default",
) -> None:
    """Put down what people said: later builds go by it, and cards tell the error rates that follow."""
    with errors_explained():
        where = named_store(store)
        if of is Subject.FACES:
            from tasks.identity.review_forms import read_verdicts_of
            from tasks.identity.review_ledger import add_verdicts, read_verdicts

            new, standing = add_verdicts(where, read_verdicts_of(source)), len(read_verdicts(where))
        elif of is Subject.LOOKS:
            from tasks.fashion.audit import read_looks
            from tasks.fashion.audit_ledger import add_look_verdicts, read_look_verdicts
            from tasks.runway_street.build import known_looks

            new = add_look_verdicts(where, read_looks(source, known_looks(where)))
            standing = len(read_look_verdicts(where))
        else:
            from tasks.audit.flows import audited_lines, read_audit
            from tasks.audit.ledger import add_audit_verdicts, read_audit_verdicts
            from tasks.reports.build_facts import BuildFacts

            facts = BuildFacts.named(where, build or of.value)
            new = add_audit_verdicts(where, read_audit(source, facts))
            standing = len(read_audit_verdicts(where, of.value))
            OUT.print("\n".join(audited_lines(facts)), markup=False)
        OUT.print(f"{new} new verdicts; {standing} stand.")
