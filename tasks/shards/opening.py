"""A store from what a block says of it."""

from pathlib import Path

from tasks.schema.errors import ConfigError
from tasks.shards.bucket import Bucket
from tasks.shards.bucket_files import copied_from, working_copy
from tasks.shards.store import Store


def open_store(root: Path, url: str = "", *, endpoint: str = "", key: str = "", secret: str = "") -> Store:
    """The store in a folder; with a url, the one in a bucket, of which the folder is this machine's working copy.

    Args:
        root: absolute.
        url, endpoint, key, secret: see `tasks.shards.bucket.Bucket`.
    Raises:
        ConfigError: a url and a folder that do not belong together, or s3fs is not installed.
        StoreError: the root is not absolute, or the bucket cannot be used.
    """
    if url:
        return Store(root, working_copy(root, Bucket(url, endpoint, key, secret)))
    if copied := copied_from(root):
        raise ConfigError(f"{root} is the working copy of {copied}: name that url in the Store block.")
    return Store(root)
