"""`mannequin save`: the parameters that a deployment starts from: at night, in the UI, by `prefect deployment run`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.console import check, demand_flow, load_flow
from flows.parameters import assign, defaults, demand_places, read_config, translated
from flows.places import connect, connect_if_there, server_explained
from flows.printing import ERR, OUT, errors_explained
from tasks.schema.errors import ConfigError

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient

app = typer.Typer()


@app.command()
def save(
    deployment: Annotated[str, typer.Argument(help="Name of a deployment, as webbody or webbody/gpu.")],
    config: Annotated[Path | None, typer.Option("--config", "-c", help="JSON or YAML: the parameter `config`.")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="path.to.parameter=value; the value may be JSON.")
    ] = None,
) -> None:
    """Save parameters on a deployment: its nights, the form of the UI and `prefect deployment run` start from them."""
    with errors_explained():
        flow, _, name = deployment.partition("/")
        demand_flow(flow)
        given = {} if config is None else {"config": translated(flow, read_config(config), ERR)}
        connect_if_there()
        loaded = load_flow(flow, verbose=False)
        demand_places(loaded, parameter or ())
        url = connect()
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.actions import DeploymentUpdate

        full_name = f"{flow}/{name or flow}"
        with server_explained(), get_client(sync_client=True) as client:
            known, saved = saved_parameters(client, full_name)
            parameters = assign(saved | given, parameter or [], defaults(loaded))
            check(loaded, parameters)
            client.update_deployment(known, DeploymentUpdate(parameters=parameters))
        OUT.print(f"{full_name} at {url} has {', '.join(sorted(parameters)) or 'nothing'} saved.", markup=False)


def saved_parameters(client: "SyncPrefectClient", full_name: str) -> tuple["UUID", dict[str, Any]]:
    """A deployment's id, and the parameters that are saved on it.

    Raises:
        ConfigError: there is no deployment of this name.
    """
    from prefect.exceptions import ObjectNotFound

    try:
        found = client.read_deployment_by_name(full_name)
    except ObjectNotFound as error:
        raise ConfigError(f"There is no deployment {full_name}: `prefect deployment ls` names them.") from error
    return found.id, found.parameters
