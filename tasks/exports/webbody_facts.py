"""What a bundle is: what was asked for, what came of it, and the digest of every file, as `bundle.json`."""

from pathlib import Path

from pydantic import ValidationError

from tasks.exports.webbody_cut import CutConfig
from tasks.exports.webbody_formats import Format
from tasks.identity.subsets import WB4M, WB12M, WB_TESTING
from tasks.schema.records import Frozen

WHOLE = "whole_body_bundle"
"""Folder of the bundle with every member. Source: the reference's bundles."""

SUBSETS = (WB4M, WB12M, WB_TESTING)

FACTS = "bundle.json"


class BundleConfig(Frozen):
    """What to export.

    `formats` of every bundle; `subsets` that get a list and a bundle of their own; `file_bytes`: payload of a Parquet
    or tar file at most (the hub's own tools cut at 500 MB).
    """

    formats: tuple[Format, ...] = ("recordio",)
    subsets: tuple[str, ...] = SUBSETS
    cut: CutConfig = CutConfig()
    file_bytes: int = 400 << 20


class BundleFacts(Frozen):
    """`bundle.json`.

    `made_from` is the digest of all that decides the files; `rejected` counts by reason; `files`: name -> BLAKE3 and
    size of everything but the cards.
    """

    name: str
    made_from: str
    config: BundleConfig
    rows: int
    identities: int
    rejected: dict[str, int]
    splits: dict[str, int]
    subsets: dict[str, int]
    licences: dict[str, int]
    files: dict[str, tuple[str, int]]


def read_facts(folder: Path) -> BundleFacts | None:
    """The facts of the bundle in a folder; None: there is none, or they do not read."""
    try:
        return BundleFacts.model_validate_json((folder / FACTS).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
