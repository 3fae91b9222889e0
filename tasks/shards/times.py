"""How long stages took: told to people, never part of a record or a manifest, and never missed where it is lost.

<root>/times/<stage>.jsonl   a line a run: {"key": ..., "seconds": ...}; of an output made again the last one counts
"""

import json
import os
from collections.abc import Collection
from contextlib import suppress

from tasks.shards.store import Store


def note_seconds(store: Store, stage: str, key: str, seconds: float) -> None:
    """Write down what a stage took for one output; a disk that takes no line does no harm."""
    line = json.dumps({"key": key, "seconds": round(seconds, 3)}) + "\n"
    folder = store.root / "times"
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
        file = os.open(folder / f"{stage}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line.encode())  # one short write: lines of several processes do not mix
        finally:
            os.close(file)


def all_seconds(store: Store, stage: str) -> dict[str, float]:
    """Key -> what the stage took for that output, of all that were made here."""
    took: dict[str, float] = {}
    with suppress(OSError):
        for line in (store.root / "times" / f"{stage}.jsonl").read_bytes().splitlines():
            with suppress(ValueError, KeyError, TypeError):  # a line that was cut off by a kill or a full disk
                said = json.loads(line)
                took[said["key"]] = float(said["seconds"])
    return took


def seconds_of(store: Store, stage: str, keys: Collection[str]) -> float | None:
    """What a stage took for these outputs together; None: nothing is known of any."""
    took = [seconds for key, seconds in all_seconds(store, stage).items() if key in keys]
    return sum(took) if took else None
