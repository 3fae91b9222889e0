"""The account that the embedded server runs as where we are root, which Postgres refuses to be."""

import logging
import os
import pwd
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tasks.schema.errors import DatabaseError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Account:
    """A user of this machine, other than root."""

    name: str
    uid: int
    gid: int


def server_account(folder: Path) -> Account | None:
    """Who runs the server of `folder`: None for ourselves, or (for root) the folder's owner, `postgres` or `nobody`.

    Raises:
        DatabaseError: we are root and there is no such account.
    """
    if os.geteuid() != 0:
        return None
    existing = next(path for path in (folder / "data", folder, *folder.parents) if path.exists())
    found = []
    with suppress(KeyError):
        found.append(pwd.getpwuid(existing.stat().st_uid))
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            found.append(pwd.getpwnam(name))
    for entry in found:
        if entry.pw_uid != 0:
            return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise DatabaseError(
        "Postgres does not run as root, and there is no account `postgres` or `nobody` to run it as: start as another "
        "user, or name a database."
    )


def let_reach(account: Account, path: Path) -> None:
    """Let `account` pass through (not list) the folders above `path`, where they are closed to it."""
    for folder in path.parents:
        status = folder.stat()
        passes = (
            status.st_mode & 0o001
            or (status.st_uid == account.uid and status.st_mode & 0o100)
            or (status.st_gid == account.gid and status.st_mode & 0o010)
        )
        if not passes:
            folder.chmod(status.st_mode | 0o001)
            _log.warning("Other accounts may now pass through %s: the database runs as %s.", folder, account.name)


def let_execute(account: Account, program: Path) -> None:
    """Let `account` run a program of an installed package, with the files that came beside it."""
    installed = program.parents[1]
    package = installed.parent
    libraries = [path for path in (package.with_name(f"{package.name}.libs"),) if path.exists()]
    let_reach(account, package)
    beside = [path for folder in libraries for path in (folder, *folder.glob("*"))]
    if all(_is_open(path) for path in (package, installed, program, *beside)):
        return
    for path in (package, *(path for folder in (installed, *libraries) for path in _tree(folder))):
        mode = path.stat().st_mode
        path.chmod(mode | 0o004 | (0o001 if mode & 0o100 else 0))


def _tree(folder: Path) -> list[Path]:
    return [path for path in (folder, *folder.rglob("*")) if not path.is_symlink()]


def _is_open(path: Path) -> bool:
    mode = path.stat().st_mode
    return bool(mode & 0o004) and (bool(mode & 0o001) or not mode & 0o100)
