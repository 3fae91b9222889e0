"""The tree of patches: where files lie, whether they are all there, and which have to go.

<category folder>/<format folder>/GT/<film>_<window>.png           the ground truth
                                 /LR_5frames/<film>_<window>.png   five frames of low resolution, top to bottom
                                 /LR_7frames/<film>_<window>.png   seven
<category folder>/Val/GT/                                          made, never filled: for people to choose

Layout `sequences`, as loaders of Vimeo-90K want it (`clip/sequence/im1.png`; dataroot_gt, dataroot_lq):

<category folder>/<format folder>/sequences/GT/<film>/<window>/im4.png
                                 /sequences/LR/<film>/<window>/im1.png to im7.png
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from blake3 import blake3
from pydantic import JsonValue

from tasks.patches.formats import PatchCategory, PatchFormat
from tasks.patches.pieces import Note, Notes, Piece, Written, demand_room, folders_of, holds, is_ours
from tasks.patches.png import PngRules, encode_png, png_size
from tasks.patches.stacks import GT_FRAME, RGB, Stacks
from tasks.schema.errors import StoreError
from tasks.schema.films import WINDOW_FRAMES
from tasks.shards.files import LocalFiles, file_digest

Layout = Literal["stacks", "sequences", "both"]
Row = Mapping[str, Any]

STACKS: Final = {"gt": "GT", "lr5": "LR_5frames", "lr7": "LR_7frames"}
"""Columns -> folders. Source: the seed."""


@dataclass(frozen=True)
class PatchTree:
    """A tree below `root`, an absolute folder.

    `temporary`: where files are made; None: in the tree. `min_free_bytes` of the disk stay free.
    """

    root: Path
    categories: tuple[PatchCategory, ...]
    formats: tuple[PatchFormat, ...]
    layout: Layout = "stacks"
    temporary: Path | None = None
    min_free_bytes: int = 0
    files: LocalFiles = field(default_factory=LocalFiles)

    def piece(self, rows: Sequence[Row]) -> Piece:
        """Start to write the patches of the windows of a piece; see `Piece`.

        Args:
            rows: of `WINDOW_SCHEMA`, one at least.
        """
        for category in self.categories:
            (self.root / category.folder / "Val" / "GT").mkdir(parents=True, exist_ok=True)
        names = [name for row in rows for name in (*self._stacks(row).values(), *self._sequence(row).values())]
        if len(set(names)) < len(names):
            raise ValueError("two windows of a piece have the same name")
        return Piece(self.root, piece_of(rows), names, temporary=self.temporary, files=self.files)

    def put(self, piece: Piece, row: Row, pictures: Stacks, rules: PngRules) -> dict[str, Any]:
        """Write the patches of a window; the columns of `PATCH_SCHEMA` that tell of its files.

        Where there are only sequences, `lr5` and `lr7` are the folder of the low resolution, with the bytes of frames 1
        to 5 and 0 to 6, and the BLAKE3 of those files one after the other.

        Raises:
            StoreError: the disk is full, or what was read again is not what was written.
        """
        wanted: dict[str, RGB] = {}
        stacks, sequence = self._stacks(row), self._sequence(row)
        if stacks:
            wanted |= {stacks["gt"]: pictures.gt, stacks["lr5"]: pictures.lr5, stacks["lr7"]: pictures.lr7}
        if sequence:
            wanted |= {sequence["gt"]: pictures.gt}
            wanted |= {sequence[f"lr{n}"]: low for n, low in enumerate(pictures.lr)}
        encoded = {name: encode_png(picture, rules) for name, picture in wanted.items()}
        for name, picture in wanted.items():
            if png_size(encoded[name]) != (picture.shape[1], picture.shape[0]):
                raise StoreError(f"{name} would not have the size of its picture")
        demand_room(self.root, sum(map(len, encoded.values())), self.min_free_bytes)
        written = piece.put(encoded)
        if stacks:
            told = {part: (name, *written[name]) for part, name in stacks.items()}
        else:
            told = {"gt": (sequence["gt"], *written[sequence["gt"]])}
            for part, first, last in (("lr5", 1, 5), ("lr7", 0, 6)):
                names = [sequence[f"lr{n}"] for n in range(first, last + 1)]
                joined = b"".join(encoded[name] for name in names)
                told[part] = names[0].rpartition("/")[0], len(joined), blake3(joined).hexdigest()
        return {
            f"{part}_{column}": value
            for part, found in told.items()
            for column, value in zip(("path", "bytes", "digest"), found, strict=True)
        }

    def holds(self, facts: Mapping[str, JsonValue]) -> bool:
        """Whether all files of a committed piece are there in their sizes: a look at each, none is read.

        Args:
            facts: of the record of its shard.
        """
        note = self._note(facts)
        return note is not None and all(holds(self.root, name, written) for name, written in note.items())

    def damaged(self, facts: Mapping[str, JsonValue]) -> list[str]:
        """Names of a committed piece's files that are missing or hold other bytes; reads every byte.

        Args:
            facts: of the record of its shard.
        """
        note = self._note(facts)
        if note is None:
            return [f".mannequin/pieces/{facts['piece']}.json"]
        return sorted(
            name
            for name, written in note.items()
            if not holds(self.root, name, written) or file_digest(self.root / name) != written[1]
        )

    def digests(self, current: Iterable[Mapping[str, JsonValue]]) -> dict[str, str]:
        """Name -> BLAKE3 of the files of committed pieces.

        Args:
            current: facts of the records of their shards.
        Raises:
            StoreError: the tree lacks one of them.
        """
        found: dict[str, str] = {}
        for facts in current:
            note = self._note(facts)
            if note is None:
                raise StoreError(f"{self.root} lacks the piece {facts['piece']}: run again, it is made again.")
            found |= {name: digest for name, (_, digest) in note.items()}
        return found

    def finish(self, current: Iterable[Mapping[str, JsonValue]]) -> int:
        """Remove the files of pieces that are no part of the build any more, never one that is not ours.

        Args:
            current: facts of the records of all pieces of the build, all of which the tree `holds`.
        Returns:
            how many files were removed.
        Raises:
            StoreError: the tree lacks a piece of the build; nothing was removed.
        """
        notes = Notes(self.root, self.files)
        current = list(current)
        pieces = {str(facts["piece"]) for facts in current}
        names = self.digests(current).keys()
        removed = 0
        for piece in sorted(set(notes.pieces()) - pieces):
            left = notes.read(piece) or {}
            for name in sorted(left.keys() - names):
                if is_ours(self.root, name, left):
                    self.files.remove(self.root / name)
                    removed += 1
                self._remove_empty(name)
            notes.remove(piece)
        return removed

    def _note(self, facts: Mapping[str, JsonValue]) -> dict[str, Written] | None:
        """The note of a committed piece, if it is the one that its record tells of."""
        if not facts["piece"]:
            return {}
        data = Notes(self.root, self.files).bytes_of(str(facts["piece"]))
        if data is None or blake3(data).hexdigest() != facts["files"]:
            return None
        note: Note = Notes(self.root, self.files).read(str(facts["piece"])) or {}
        return {name: written for name, written in note.items() if written is not None}

    def _remove_empty(self, name: str) -> None:
        for folder in folders_of(self.root, name):
            if folder == self.root:
                return
            with suppress(OSError):
                folder.rmdir()

    def _folder(self, row: Row) -> str:
        category = next(each.folder for each in self.categories if each.name == row["category"])
        return f"{category}/{next(each.folder for each in self.formats if each.name == row['format'])}"

    def _stacks(self, row: Row) -> dict[str, str]:
        """`gt`, `lr5` and `lr7` -> name; empty where the layout has no stacks."""
        if self.layout == "sequences":
            return {}
        return {part: f"{self._folder(row)}/{folder}/{file_name(row)}" for part, folder in STACKS.items()}

    def _sequence(self, row: Row) -> dict[str, str]:
        """`gt` and `lr0` to `lr6` -> name; empty where the layout has no sequences."""
        if self.layout == "stacks":
            return {}
        top = f"{self._folder(row)}/sequences"
        low = {f"lr{n}": f"{top}/LR/{row['sample_id']}/im{n + 1}.png" for n in range(WINDOW_FRAMES)}
        return {"gt": f"{top}/GT/{row['sample_id']}/im{GT_FRAME + 1}.png", **low}


def file_name(row: Row) -> str:
    """The name that a window's patches have in each folder: `<film>_w000123_space.png`."""
    return f"{row['sample_id'].replace('/', '_')}.png"


def piece_of(rows: Sequence[Row]) -> str:
    """The name of a piece: its film, and a digest of the ids of its windows."""
    said = "\n".join(row["sample_id"] for row in rows)
    return f"{rows[0]['film']}-{blake3(said.encode()).hexdigest()[:16]}"
