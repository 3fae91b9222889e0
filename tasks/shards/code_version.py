"""Which code made a build."""

import tomllib
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_SOURCE_SUFFIXES = frozenset({".py", ".sql", ".json", ".toml", ".yaml"})
_PACKAGES = ("blocks", "flows", "tasks")


@cache
def code_version() -> str:
    """Package version and a hash over our source files: the same on every machine that runs the same code.

    A checkout takes the version from its pyproject.toml, an installed package from its metadata. Line ends of the
    platform do not matter, nor do files that are no source (caches, notes).
    """
    top = Path(__file__).parents[2]
    digest = sha256()
    for name in sorted(
        path.relative_to(top).as_posix()
        for package in _PACKAGES
        for path in (top / package).rglob("*")
        if path.suffix in _SOURCE_SUFFIXES and path.is_file() and not _hidden(path.relative_to(top))
    ):
        source = (top / name).read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name} {sha256(source).hexdigest()}\n".encode())
    return f"{_package_version(top)}+{digest.hexdigest()[:16]}"


def _package_version(top: Path) -> str:
    project = top / "pyproject.toml"
    if project.exists():
        found = tomllib.loads(project.read_text("utf-8")).get("project", {})
        if found.get("name") == "mannequin":
            return str(found["version"])
    try:
        return version("mannequin")
    except PackageNotFoundError:
        return "0"


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "__pycache__")) for part in path.parts)
