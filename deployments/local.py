"""Prefect on this machine: a server on SQLite, blocks, a work pool, the deployments and one worker.

    python -m deployments.local up | down | status

Everything it keeps lies under MANNEQUIN_HOME: prefect/ (the server's database), logs/ and run/ (who was started).
Whatever part of it runs, `up` completes it; nothing here removes data.
"""

import argparse
import fcntl
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from deployments.processes import Service, ServiceError, is_taken
from deployments.runs import end_lost_runs, stop_runs
from tasks.catalog.embedded import stop_embedded
from tasks.schema.errors import ConfigError, MannequinError
from tasks.schema.home import home, postgres_folder, server_record

ROOT = Path(__file__).resolve().parents[1]
PORT_VARIABLE = "MANNEQUIN_PORT"
PORT = 4200
_PORTS_TRIED = 100
POOL = "local"
"""Name of the work pool in prefect.yaml."""
WORKER = "local"

_SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # The recorder writes task runs one by one by default and drops them when a flow has thousands.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_TRIGGERS_READ_BATCH_SIZE": "500",
    # A night starts its runs one after another: each would wait 10 s for the worker to look.
    "PREFECT_WORKER_QUERY_SECONDS": "2",
}
_DATABASE_FAULTS = {
    "Can't locate revision": "was made by a newer Prefect than this one, which cannot read it: start that one",
    "file is not a database": "is damaged",
    "database disk image is malformed": "is damaged",
}
_FOLDERS = ("MANNEQUIN_MODELS", "MANNEQUIN_REAL_DATA", "WEBBODY_DATA_ROOT")
"""Variables with folders, absolute for processes that run elsewhere."""
_SERVER_S = 180.0
_WORKER_S = 90.0
_COMES_BACK_S = 45.0


def server() -> Service:
    """The API and UI."""
    return Service("Prefect server", server_record(), home() / "logs" / "server.log")


def worker() -> Service:
    """Who takes runs from the pool."""
    return Service("worker", home() / "run" / "worker.json", home() / "logs" / "worker.log")


def environment(url: str) -> dict[str, str]:
    """Variables of the server, the worker and its runs; what Prefect was told for other servers does not count here."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PREFECT_") or name.startswith("PREFECT_LOGGING_")
    }
    folders = {name: str(Path(os.environ[name]).absolute()) for name in _FOLDERS if os.environ.get(name)}
    places = {"MANNEQUIN_HOME": str(home()), "PREFECT_HOME": str(home() / "prefect"), "PREFECT_API_URL": f"{url}/api"}
    return inherited | _SETTINGS | folders | places


def ask(url: str, path: str, data: object = None) -> Any:
    """What the server's API answers, or None while it does not.

    Args:
        data: makes it a POST.
    """
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(f"{url}/api/{path}", body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310
            return json.load(reply)
    except (OSError, ValueError):
        return None


def answers(url: str) -> bool:
    """Whether a Prefect server is healthy at this address."""
    return ask(url, "health") is True


def up() -> None:
    """Start what does not run, register what is not registered, and say where everything is."""
    with _one_at_a_time():
        url = _ensure_server()
        _register(url)
        _ensure_worker(url)
    print(f"\nPrefect UI        {url}")
    print(f"Command line      export PREFECT_API_URL={url}/api")
    print("Run               .venv/bin/mannequin run pose_templates")
    print("Stop              make down")


def down() -> None:
    """Stop the worker, the server and the embedded Postgres; their data stays."""
    with _one_at_a_time():
        url = server().url()
        worked = worker().stop()
        if url is not None:
            for name in stop_runs(partial(ask, url), url, POOL):
                say("run", f"{name} was ended")
        stopped = {"worker": worked, "Prefect server": server().stop()}
        stopped["embedded Postgres"] = stop_embedded(postgres_folder())
        for what, was_running in stopped.items():
            say(what, "stopped" if was_running else "was not running")
    print(f"\nData stays in {home()}.")


def status() -> None:
    """Say what runs."""
    url = server().url()
    healthy = url is not None and server().pid() is not None and answers(url)
    say("Prefect server", f"running at {url}" if healthy else "not running")
    say("worker", "running" if worker().pid() is not None else "not running")


def _ensure_server() -> str:
    service = server()
    last = service.url()
    if last is not None and service.pid() is not None:
        try:
            service.wait(partial(answers, last), _SERVER_S)
        except ServiceError:
            say(service.name, "does not answer and is started again")
            service.stop()
        else:
            asked = os.environ.get(PORT_VARIABLE) or last.rpartition(":")[2]
            moves = "" if last.endswith(f":{asked}") else f"; `make down` first, for it to listen at {asked}"
            say(service.name, f"runs already at {last}{moves}")
            return last
    port = _port(last)
    url = f"http://127.0.0.1:{port}"
    say(service.name, f"starting at {url}")
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    (home() / "prefect").mkdir(parents=True, exist_ok=True)
    service.start(command, environment(url), home(), url)
    try:
        service.wait(partial(answers, url), _SERVER_S)
    except ServiceError as error:
        raise _explained(error, service) from error
    return url


def _explained(error: ServiceError, service: Service) -> MannequinError:
    """What can be done about a server that does not start."""
    log = service.log.read_text(errors="replace") if service.log.exists() else ""
    database = home() / "prefect" / "prefect.db"
    for said, means in _DATABASE_FAULTS.items():
        if said in log:
            return ServiceError(
                f"The server's database {database} {means}. Move it away to begin with an empty one: it holds runs, "
                f"saved blocks and schedules; datasets are in the store, and stay. (log: {service.log})"
            )
    return error


def _port(last_url: str | None) -> int:
    """The port asked for, else the one of the last start, else 4200, else the next free one."""
    asked = os.environ.get(PORT_VARIABLE)
    if asked:
        if not asked.isdigit() or not 0 < int(asked) < 1 << 16:
            raise ConfigError(f"{PORT_VARIABLE} must be a port number, not {asked!r}.")
        if is_taken(int(asked)):
            raise ConfigError(
                f"Port {asked} is taken by another program, or not yours: set {PORT_VARIABLE} to another."
            )
        return int(asked)
    last = [int(last_url.rsplit(":", 1)[1])] if last_url else []
    free: int | None = next((port for port in (*last, *range(PORT, PORT + _PORTS_TRIED)) if not is_taken(port)), None)
    if free is not None:
        return free
    raise ConfigError(f"Ports {PORT} to {PORT + _PORTS_TRIED - 1} are all taken: set {PORT_VARIABLE} to a free one.")


def _register(url: str) -> None:
    """Blocks, pool, automation and deployments; what is there already stays as it is."""
    done = subprocess.run(
        [sys.executable, "-m", "deployments.register"],
        cwd=ROOT,
        env=environment(url),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().removeprefix("Error: ")
        raise ServiceError(f"The deployments could not be registered: {said[-2000:]}")
    print(done.stdout, end="")


def _ensure_worker(url: str) -> None:
    service = worker()
    if service.pid() is not None and service.url() == url and _comes_back(url, service):
        say(service.name, "runs already")
        return
    service.stop()
    for name in end_lost_runs(partial(ask, url), url, POOL, WORKER):
        say("run", f"{name} had lost its worker and was ended")
    say(service.name, "starting")
    command = [
        sys.executable,
        "-m",
        "prefect",
        "worker",
        "start",
        "--pool",
        POOL,
        "--name",
        WORKER,
        "--type",
        "process",
    ]
    service.start(command, environment(url), home(), url)
    service.wait(lambda: _polls(url, service.started()), _WORKER_S)


def _comes_back(url: str, service: Service) -> bool:
    """Whether a worker that lives polls this server; after a restart of the server it does so a little later."""
    with suppress(ServiceError):
        service.wait(lambda: _polls(url, service.started()), _COMES_BACK_S)
        return True
    return False


def _polls(url: str, since: float) -> bool:
    """Whether the worker is online and has said so since a time, in seconds of the epoch."""
    return any(
        found["name"] == WORKER
        and found["status"] == "ONLINE"
        and datetime.fromisoformat(found["last_heartbeat_time"]).timestamp() >= since
        for found in ask(url, f"work_pools/{POOL}/workers/filter", {}) or ()
    )


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two terminals that say `make up` at once start one server."""
    lock = home() / "run" / "lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def say(what: str, state: str) -> None:
    """One line of what a person sees."""
    print(f"{what:<17} {state}", flush=True)


def main() -> int:
    """Run one verb; errors that a person can act on are one line."""
    verbs = {"up": up, "down": down, "status": status}
    parser = argparse.ArgumentParser(prog="deployments.local", description="Prefect on this machine.")
    parser.add_argument("verb", choices=verbs)
    try:
        verbs[parser.parse_args().verb]()
    except MannequinError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
