"""`mannequin verify`, `delete`, `forget`, `verdicts`: keeping a store whole, and telling it what people know."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from flows.places import database_uri, has_database, store_root, this_machine
from flows.printing import OUT, errors_explained
from tasks.schema.errors import ConfigError, SourceError

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
        root = store_root(store)
        if not root.exists():
            raise SourceError(f"There is no store at {root} yet: run a flow first.")
        from tasks.shards.store import Store
        from tasks.shards.verify import verify_store

        report = verify_store(Store(root), drop_damaged=drop)
        size = f"{report.bytes / 1e6:,.1f} MB"
        OUT.print(f"{report.records} outputs, {report.files} files, {report.rows} rows, {size} read in {root}")
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
        from tasks.shards.store import Store

        where = Store(store_root(store))
        found = outputs_of(where, stage)
        used = ", ".join(f"{count} of {name}" for name, count in found.made_of_them.items()) or "nothing"
        OUT.print(f"{stage}: {len(found.records)} outputs, {found.rows} rows, {found.bytes / 1e6:,.1f} MB")
        OUT.print(f"Made of them, and kept: {used}")
        if yes:
            delete_outputs(where, found)
        OUT.print("Deleted." if yes else "Nothing was deleted: `--yes` does it.")


@app.command()
def forget(
    what: Annotated[
        list[str] | None,
        typer.Argument(help="Addresses, sample ids, files of exports: whatever `explain` understands.", metavar="WHAT"),
    ] = None,
    identity: Annotated[
        list[str] | None, typer.Option(help="A person of webbody (id-...): all photos that show it.")
    ] = None,
    face: Annotated[
        list[Path] | None, typer.Option(help="A photo of a person: all photos with a face like it.")
    ] = None,
    remember_face: Annotated[
        bool, typer.Option("--remember-face", help="Keep the embedding of the face, apart, to know it again.")
    ] = False,
    remembered: Annotated[
        bool, typer.Option("--remembered", help="Photos that later builds found to show a remembered face.")
    ] = False,
    exports: Annotated[
        list[Path] | None, typer.Option("--exports", help="A folder of exports outside the store; repeatable.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it the command only says what would go.")] = False,
    store: Annotated[str, typer.Option(help="Name of a Store block.")] = "default",
    database: Annotated[str, typer.Option(help="Name of a Database block.")] = "default",
    models: Annotated[str, typer.Option(help="Name of a ModelZoo block.")] = "default",
) -> None:
    """Take samples and all that was made of them out of store, exports, database and runs, and keep them out.

    Without anything named it finishes what was interrupted, or what some place could not be reached for. Tasks of
    flows that begin meanwhile stop.
    """
    with errors_explained():
        here = this_machine(store, models)  # first: it chooses the server, before Prefect is imported
        from tasks.face.remembered import remember_face as keep
        from tasks.forget.carry_out import carry_out, finish_unfinished
        from tasks.forget.doomed import Doomed, Erased
        from tasks.forget.faces import WARNING, faces_like
        from tasks.forget.folders_fetched import out_of_reach
        from tasks.forget.outside import erase_outside, names_of
        from tasks.forget.plan import plan_forget
        from tasks.forget.task import erase_from_server

        if remember_face and not face:
            raise ConfigError("--remember-face keeps the face of a photo: name one with --face.")

        def outside(doomed: Doomed, builds: Mapping[str, str]) -> tuple[Erased, ...]:
            artifacts = erase_from_server(names_of(here.store, doomed))
            where = database_uri(database) if has_database(database) else ""
            return artifacts, *erase_outside(here.store, doomed, exports=exports or (), database=where, builds=builds)

        done = finish_unfinished(here.store, outside)
        if done is not None:
            OUT.print("What was interrupted or out of reach:", *done.text(), sep="\n", markup=False)
        if not (what or identity or face or remembered) and done is not None:
            return
        found = [faces_like(here.store, here.zoo, photo.resolve()) for photo in face or ()]
        plan = plan_forget(here.store, what or (), identity or (), found, remembered=remembered)
        OUT.print("\n".join(plan.text()), markup=False)
        for sentence in out_of_reach(here.store, plan.doomed, names_of(here.store, plan.doomed)):
            OUT.print(sentence, markup=False)
        if not yes:
            OUT.print("Nothing was changed: `--yes` does it.")
            return
        for each in found if remember_face else ():
            OUT.print(f"{keep(here.store, each.remembered)}: {WARNING}", markup=False)
        OUT.print("\n".join(carry_out(here.store, plan, outside).text()), markup=False)


@app.command()
def verdicts(
    source: Annotated[Path, typer.Argument(help="CSV; of faces also an export of Label Studio, or a FiftyOne folder.")],
    of: Annotated[Subject, typer.Option("--of", help="What they are about.")] = Subject.FACES,
    build: Annotated[str, typer.Option(help="Beginning of a build's digest; default: the flow's latest.")] = "",
    store: Annotated[str, typer.Option(help="Name of a Store block.")] = "default",
) -> None:
    """Put down what people said: later builds go by it, and cards tell the error rates that follow."""
    with errors_explained():
        from tasks.shards.store import Store

        where = Store(store_root(store))
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
