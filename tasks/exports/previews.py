"""Previews where a web server finds them: <root>/public/pose_templates/<template id>.jpg and its companions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from tasks.exports.owned import write_synced
from tasks.exports.rows import pick
from tasks.schema.ids import template_id
from tasks.shards.files import disk_errors_explained, temporary
from tasks.shards.store import Store

PUBLIC = "public"
"""The folder of the store that `public_url` shows to the world."""

_FOLDER = "pose_templates"
_ENDINGS = {"overlay": ".jpg", "skeleton": "_skeleton.png", "thumbnail": "_thumbnail.jpg"}


def publish_previews(store: Store, previews: Sequence[Path], wanted: Mapping[str, str]) -> dict[str, str]:
    """Write the previews of templates; files that hold the same bytes already are left alone.

    Args:
        previews: shards of `PREVIEW_SCHEMA` with at least those samples.
        wanted: sample -> its `source_uri`.
    Returns:
        sample -> path of its overlay below `<root>/public`, with `/`.
    Raises:
        StoreError: a sample has no preview, or the store cannot be written.
    """
    folder = store.root / PUBLIC / _FOLDER
    published: dict[str, str] = {}
    with disk_errors_explained(store.root):
        for group in pick(previews, wanted, tuple(_ENDINGS)):
            changed: dict[Path, tuple[Path, bytes]] = {}
            for row in group.to_pylist():
                name = template_id(row["sample_id"])
                for column, ending in _ENDINGS.items():
                    path, data = folder / f"{name}{ending}", row[column]["bytes"]
                    if not _holds(path, data):
                        changed[path] = temporary(store.tmp), data
                published[row["sample_id"]] = preview_path(row["sample_id"])
            write_synced(store.files, dict(changed.values()))
            for path, (written, _) in changed.items():
                store.files.replace(written, path)
        if published:
            store.files.sync_folder(folder)
    return published


def preview_path(sample_id: str) -> str:
    """Where a template's overlay is published, below `<root>/public`."""
    return f"{_FOLDER}/{template_id(sample_id)}{_ENDINGS['overlay']}"


def preview_url(public_url: str | None, path: str) -> str:
    """The address of a published file: below `public_url` (whose query stays), or the relative path without one."""
    if not public_url:
        return path
    base = urlsplit(public_url)
    joined = f"{base.path.rstrip('/')}/{quote(path.lstrip('/'))}"
    return urlunsplit((base.scheme, base.netloc, joined, base.query, ""))


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data
