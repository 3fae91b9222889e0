"""Where controls lie: a store of their own for every build, so that none can come into an export.

<root>/controls/<flow>/<mark>/      shards, and the films of flows that read some
"""

import os
import shutil
import time
from hashlib import sha256
from typing import Final

from tasks.shards.files import disk_errors_explained
from tasks.shards.store import Store

KEPT_S: Final = 24 * 3600.0
"""Controls of a mark stay so long after they were last wanted: runs that go on find them."""


def short(mark: str) -> str:
    """A mark as the name of a folder."""
    return sha256(mark.encode()).hexdigest()[:16]


def control_store(store: Store, flow: str, mark: str) -> Store:
    """The store for controls of a mark; what other marks left more than a day ago is removed.

    Raises:
        StoreError: the store cannot be written.
    """
    place = store.root / "controls" / flow
    folder = place / short(mark)
    with disk_errors_explained(store.root):
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        for other in place.iterdir():
            if other != folder and time.time() - other.stat().st_mtime > KEPT_S:
                shutil.rmtree(other, ignore_errors=True)
    return Store(folder, store.files)
