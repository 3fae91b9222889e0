"""Fixtures that every test may use."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

# how fast a busy machine makes examples says nothing about the code
settings.register_profile("any machine", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photos, videos and weights; tests that need it skip where it is not given."""
    root = os.environ.get("MANNEQUIN_REAL_DATA")
    if not root:
        pytest.skip("MANNEQUIN_REAL_DATA is not set")
    path = Path(root).resolve()
    if not path.is_dir():
        pytest.fail(f"MANNEQUIN_REAL_DATA={root} is not a folder")
    return path


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """An empty Prefect server that the code under test talks to."""
    from prefect.settings import (
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_SERVER_ANALYTICS_ENABLED,
        temporary_settings,
    )
    from prefect.testing.utilities import prefect_test_harness

    quiet = {PREFECT_SERVER_ANALYTICS_ENABLED: False, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with temporary_settings(quiet), prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URI of an embedded Postgres' database `postgres`; its folder is open to the account that it runs as."""
    import psycopg

    from tasks.catalog.embedded import start_embedded, stop_embedded

    folder = Path(tempfile.mkdtemp(prefix="mannequin-pg-"))
    folder.chmod(0o755)
    try:
        uri = start_embedded(folder / "postgres", "postgres")
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield uri
    finally:
        stop_embedded(folder / "postgres")
        shutil.rmtree(folder)


@pytest.fixture
def database(postgres_server: str) -> Iterator[str]:
    """The URI of an empty database."""
    import psycopg

    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield postgres_server.replace("/postgres?", f"/{name}?")
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
