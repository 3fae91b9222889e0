"""What is under way: written down whole before the first file changes, so that a killed call is finished by the next.

<root>/forgotten/unfinished/<n>/asked.json    what goes; it holds plain ids until all of it is done
<root>/forgotten/unfinished/<n>/staged/       new files that wait for their places
<root>/forgotten/unfinished/<n>/steps.json    what is to be done to which file; from here on it is only done
<root>/forgotten/receipts/<n>.json            the end
<root>/forgotten/outstanding/<n>/             the same of a request that waits for a place outside
<root>/forgotten/lock                         one forget at a time
<root>/forgotten/holder.json                  in a bucket: the same among machines
"""

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import Field, ValidationError

from tasks.forget.doomed import Doomed
from tasks.schema.errors import StoreError
from tasks.schema.records import Frozen
from tasks.shards.store import Store

FORGOTTEN = "forgotten"

Form = TypeVar("Form", bound=Frozen)


class Asked(Frozen):
    """One request: what people asked for, and what goes."""

    asked: tuple[str, ...]
    sample_ids: tuple[str, ...]
    roots: tuple[str, ...]
    source_uris: tuple[str, ...]
    digests: tuple[str, ...]
    contents: tuple[str, ...]
    hashes: tuple[int, ...]

    @property
    def doomed(self) -> Doomed:
        return Doomed(*map(frozenset, (self.sample_ids, self.roots, self.source_uris, self.digests)))


class Step(Frozen):
    """One change of one file: `move` or `link` it to `target`, `write` a text to it, `remove` it; below the root."""

    do: Literal["move", "link", "write", "remove"]
    path: str
    target: str = ""
    text: str = ""

    @classmethod
    def move(cls, path: str, target: str) -> Self:
        return cls(do="move", path=path, target=target)

    @classmethod
    def link(cls, path: str, target: str) -> Self:
        return cls(do="link", path=path, target=target)

    @classmethod
    def write(cls, path: str, text: str) -> Self:
        return cls(do="write", path=path, text=text)

    @classmethod
    def remove(cls, path: str) -> Self:
        return cls(do="remove", path=path)


class Taken(Frozen):
    """What was taken out of one kind of place; see `Erased`. `stages`: rows by stage, of shards."""

    place: str
    things: int
    rows: int
    stages: dict[str, int] = Field(default_factory=dict)
    removed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Steps(Frozen):
    """All that is to be done within the store, in order, and what that takes away.

    `builds`: digests of manifests as they were -> as they are from now on.
    """

    steps: tuple[Step, ...]
    taken: tuple[Taken, ...]
    builds: dict[str, str] = Field(default_factory=dict)


@contextmanager
def turn(store: Store) -> Iterator[None]:
    """Of several forgets in one store one at a time.

    Raises:
        StoreError: another one is under way.
    """
    folder = store.root / FORGOTTEN
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            said = f"Something else is being forgotten in the store at {store.place}: wait until that has ended."
            raise StoreError(said) from error
        with store.files.alone(folder / "holder.json"):
            store.fresh(FORGOTTEN)
            yield


def unfinished(store: Store) -> int | None:
    """The number of a request that was begun and not finished, the oldest; None where there is none."""
    return min((int(path.parent.name) for path in _all(store).glob("*/asked.json")), default=None)


def begin(store: Store, asked: Asked) -> int:
    """Put a request down; durable when this returns. Returns its number."""
    taken = [int(path.stem) for path in (store.root / FORGOTTEN / "receipts").glob("*.json")]
    taken += [int(path.name) for path in _all(store).glob("*")]
    number = max(taken, default=0) + 1
    put(store, _folder(store, number) / "asked.json", asked.model_dump_json(indent=1).encode())
    return number


def read_asked(store: Store, number: int) -> Asked:
    """A request that was put down.

    Raises:
        StoreError: it does not read.
    """
    return _read(_folder(store, number) / "asked.json", Asked)


def staging(store: Store, number: int) -> Path:
    """An empty folder for new files; what a killed call left in it goes."""
    folder = _folder(store, number) / "staged"
    for path in store.files.ages(folder, "*"):
        store.files.remove(path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_steps(store: Store, number: int, steps: Steps) -> None:
    """Put the steps down: from here on they are done, whatever happens."""
    folder = _folder(store, number)
    for path in (folder / "staged").glob("*"):
        store.files.share(path)
    store.files.sync_folder(folder / "staged")
    put(store, folder / "steps.json", steps.model_dump_json(indent=1).encode())


def read_steps(store: Store, number: int) -> Steps | None:
    """The steps of a request; None where they were not put down.

    Raises:
        StoreError: they do not read.
    """
    path = _folder(store, number) / "steps.json"
    return _read(path, Steps) if path.exists() else None


def do(store: Store, steps: Iterable[Step]) -> None:
    """Do the steps; those that were done before are passed over."""
    folders: set[Path] = set()
    removing = False
    for step in steps:
        path, target = store.root / step.path, store.root / step.target
        if step.do == "remove" and not removing:
            removing = True
            _make_durable(store, folders)
        match step.do:
            case "move" if store.files.has(path):
                store.files.replace(path, target)
            case "link" if store.files.has(path):
                store.files.link_exclusive(path, target)
            case "write" if not (store.files.has(path) and store.files.read(path) == step.text.encode()):
                put(store, path, step.text.encode())
            case "remove":
                store.files.remove(path)
        folders.add((target if step.do in ("move", "link") else path).parent)
    _make_durable(store, folders)
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def set_aside(store: Store, number: int) -> None:
    """Let a request wait for the places that could not be reached; nothing of the store waits for it."""
    store.files.replace(_folder(store, number), _outstanding(store) / f"{number:06d}")
    _make_durable(store, {_outstanding(store)})
    clear(store)


def outstanding(store: Store) -> list[int]:
    """The numbers of the requests that wait, the oldest first."""
    return sorted(int(path.parent.name) for path in _outstanding(store).glob("*/asked.json"))


def end(store: Store, number: int) -> None:
    """Remove all that was put down for a request; what holds plain ids goes last."""
    folder = _folder(store, number)
    for path in (*sorted(store.files.ages(folder / "staged", "*")), folder / "steps.json", folder / "asked.json"):
        store.files.remove(path)
    clear(store)


def clear(store: Store) -> None:
    """Remove folders of requests that hold none any more, and those that a killed call made and put nothing into."""
    for top in (_all(store), _outstanding(store)):
        for folder in (*top.glob("*/staged"), *top.glob("*"), top):
            with suppress(OSError):
                folder.rmdir()
    store.files.sync_folder(store.root / FORGOTTEN)


def put(store: Store, path: Path, data: bytes) -> None:
    """Write a file whole, over whatever is there; durable when this returns."""
    store.put(path, data)
    _make_durable(store, {path.parent.parent})


def _make_durable(store: Store, folders: Iterable[Path]) -> None:
    """The names in some folders, and in those above them up to the root."""
    every = {each for folder in folders for each in (folder, *folder.parents) if each.is_relative_to(store.root)}
    for folder in sorted(every, key=lambda each: len(each.parts), reverse=True):
        if folder.is_dir():
            store.files.sync_folder(folder)


def _all(store: Store) -> Path:
    return store.root / FORGOTTEN / "unfinished"


def _outstanding(store: Store) -> Path:
    return store.root / FORGOTTEN / "outstanding"


def _folder(store: Store, number: int) -> Path:
    """Where a request is put down, whether it is under way or waits."""
    waiting = _outstanding(store) / f"{number:06d}"
    return waiting if waiting.is_dir() else _all(store) / f"{number:06d}"


def _read(path: Path, form: type[Form]) -> Form:
    try:
        return form.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise StoreError(f"{path} does not read: restore it from a backup, then forget again.") from error
