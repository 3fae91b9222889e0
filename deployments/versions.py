"""Which version a deployment carries: pyproject.toml says it, and nothing else does."""

from tasks.shards.code_version import code_version


def package() -> dict[str, str]:
    """A build step of prefect.yaml, whose templates read `{{ package.version }}`."""
    return {"version": code_version().partition("+")[0]}
