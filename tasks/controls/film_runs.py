"""What the controls of both flows of films have in common: where their films lie, and how findings are put together."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from tasks.controls.finding import Finding
from tasks.controls.place import short
from tasks.shards.files import disk_errors_explained
from tasks.shards.store import Store


def films_of(store: Store, mark: str) -> Path:
    """Where the films of a mark lie.

    Raises:
        StoreError: the store cannot be written.
    """
    folder = store.root / "films" / short(mark)
    with disk_errors_explained(store.root):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def looked_at(stage: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The findings of a stage; rows or files that cannot even be read are one."""
    try:
        return list(look())
    except Exception as error:  # noqa: BLE001 - whatever a stage gave, that it cannot be read is a finding
        said = f"{type(error).__name__}: {str(error).strip()[:300]}"
        return [Finding.at_most(stage, "what came back can be read", 1, 0, "failures", said)]


def once_each(findings: Iterable[Finding], stages: Sequence[str]) -> Iterator[Finding]:
    """Findings in the order of the stages; of several of one control and stage the first that did not pass."""
    kept: dict[tuple[str, str], Finding] = {}
    for each in findings:
        at = (each.stage, each.control)
        if at not in kept or (kept[at].passed and not each.passed):
            kept[at] = each
    yield from sorted(kept.values(), key=lambda each: stages.index(each.stage))
