"""`mannequin forget`: takes samples out of everything, and keeps them out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from flows.places import database_uri, has_database, this_machine
from flows.printing import OUT, errors_explained
from tasks.schema.errors import ConfigError

app = typer.Typer()


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
