"""Patches made again beside their tree, and the files of both compared."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tasks.lineage.remake_compare import Difference, difference_of_bytes
from tasks.lineage.remake_rules import Rule
from tasks.patches.cut import Patches
from tasks.shards.files import LocalFiles


def elsewhere(stage: Patches, folder: Path) -> Patches:
    """The stage, writing into another tree."""
    return replace(stage, tree=folder, temporary=None, min_free_bytes=0, files=LocalFiles())


def differing_files(tree: Path, remade: Path, rule: Rule) -> Iterator[Difference]:
    """The files of a tree that are not those that were made again elsewhere."""
    if not tree.is_dir():
        yield Difference(str(tree), "the tree is not on this machine: ask where it is", allowed=False)
        return
    for path in sorted(path for path in remade.rglob("*") if path.is_file()):
        name = path.relative_to(remade)
        if name.parts[0] == ".mannequin":
            continue
        before, now = tree / name, path.read_bytes()
        if not before.is_file():
            yield Difference(str(name), "the file is not in the tree any more", allowed=False)
        elif (data := before.read_bytes()) != now:
            yield difference_of_bytes(str(name), data, now, rule)
