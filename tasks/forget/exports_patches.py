"""Trees of patches without the windows that go: their files, the notes of their pieces, and the plan of their build."""

from collections.abc import Sequence
from pathlib import Path

from blake3 import blake3

from tasks.forget.exports_change import Change
from tasks.forget.exports_names import Names
from tasks.lineage.exports import NOTES
from tasks.patches.build_plan import PLAN_PATH, read_plan
from tasks.patches.pieces import Notes, Scratch, note_bytes
from tasks.schema.errors import SourceError
from tasks.shards.files import LocalFiles


def cut_tree(change: Change, names: Names) -> None:
    """Take what killed pieces left in the making out of a tree, and films out of its plan.

    The files of windows are called by them, and go as those of any export.
    """
    with Scratch(change.folder / NOTES / "tmp", change.files):
        pass  # whoever begins to write removes what others left
    try:
        plan = read_plan(change.folder)
    except SourceError:
        return
    left = tuple(film for film in plan.films if film.film not in names.ids)
    if len(left) < len(plan.films):
        data = plan.model_copy(update={"films": left}).model_dump_json().encode()
        change.put(PLAN_PATH.as_posix(), data, len(plan.films) - len(left))


def note_after(trees: Sequence[Path], piece: str, digest: str, names: Names) -> str:
    """The digest that the note of a piece has once its windows are gone: what the record of its shard is to say.

    Args:
        trees: folders that may hold the piece.
        piece, digest: `piece` and `files` of the facts of the record, as they are.
    Returns:
        the digest; empty: nothing of the piece is left. The same as before where no tree has it.
    """
    for tree in trees:
        notes = Notes(tree, LocalFiles())
        data = notes.bytes_of(piece)
        if data is not None and blake3(data).hexdigest() == digest:
            left = {name: said for name, said in (notes.read(piece) or {}).items() if not names.has_file(name)}
            return blake3(note_bytes(left)).hexdigest() if left else ""
    return digest


def is_tree(folder: Path) -> bool:
    """Whether patches were ever written into a folder."""
    return any((folder / NOTES / "pieces").glob("*.json")) or (folder / PLAN_PATH).is_file()
