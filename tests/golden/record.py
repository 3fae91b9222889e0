"""What every stage makes of its golden input, as text that can be compared; `python -m tests.golden.record` writes it.

Numbers are compared with a tolerance (decoders and math libraries differ in the last digits between machines); pictures
by their size and a 16 x 16 thumbnail, within a few grey levels.
"""

import json
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from tasks.images.decode import DecodeError, decode_rgb
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.golden.cases import cases

FOLDER = Path(__file__).parents[1] / "data" / "golden"
RELATIVE, ABSOLUTE = 1e-3, 2e-3
GREY_LEVELS = 3
DIGESTS = {"sha256", "phash", "classifier"}
"""Columns that follow every bit of a picture or a model: only whether they are there is compared. So are bare bytes."""


def outcome(derivation: Derivation, store: Store) -> dict[str, Any]:
    """Version, kept rows and rejects of a stage, JSON-able."""
    record = realise(derivation, store).record
    rejects = store.rejects_path(record)
    return {
        "version": record.version,
        "kept": [plain(row) for row in pq.read_table(store.data_path(record)).to_pylist()],
        "rejected": [_rejected(row) for row in pq.read_table(rejects).to_pylist()] if rejects else [],
    }


def _rejected(row: dict[str, Any]) -> Any:
    evidence = row.pop("evidence")
    return plain(row) | ({"evidence": plain(json.loads(evidence))} if evidence else {})


def plain(value: Any, name: str = "") -> Any:
    """A cell as JSON: pictures as size and thumbnail, JSON text as what it says, floats rounded."""
    if isinstance(value, dict) and value.keys() == {"bytes", "path"}:
        return {"path": value["path"], "picture": thumbnail(value["bytes"])}
    if isinstance(value, dict):
        return {key: plain(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, datetime):
        return value.isoformat()
    if name in DIGESTS or isinstance(value, bytes):
        return type(value).__name__
    if isinstance(value, str) and (name.endswith("_parts") or name == "report"):
        return plain(json.loads(value))
    return value


def thumbnail(data: bytes) -> dict[str, Any] | None:
    """Size and 16 x 16 grey values of a picture; None where it does not decode."""
    try:
        picture = Image.fromarray(decode_rgb(data))
    except DecodeError:
        return None
    grey = np.asarray(picture.convert("L").resize((16, 16), Image.Resampling.BOX))
    return {"size": list(picture.size), "grey": grey.ravel().tolist()}


def difference(recorded: Any, made: Any, where: str = "") -> str:
    """The first place where two outcomes differ, in words; empty: nowhere."""
    if isinstance(recorded, dict) and isinstance(made, dict) and recorded.keys() == made.keys():
        if "grey" in recorded:
            apart = np.abs(np.subtract(recorded["grey"], made["grey"])).max()
            return f"{where}: another picture" if apart > GREY_LEVELS or recorded["size"] != made["size"] else ""
        return next((d for k in recorded if (d := difference(recorded[k], made[k], f"{where}.{k}"))), "")
    if isinstance(recorded, list) and isinstance(made, list) and len(recorded) == len(made):
        pairs = zip(recorded, made, strict=True)
        return next((d for n, (r, m) in enumerate(pairs) if (d := difference(r, m, f"{where}[{n}]"))), "")
    if isinstance(recorded, float) and isinstance(made, (int, float)):
        near = abs(recorded - made) <= max(ABSOLUTE, RELATIVE * abs(recorded))
        return "" if near else f"{where}: {recorded} became {made}"
    return "" if recorded == made else f"{where}: {recorded!r} became {made!r}"


def main() -> None:
    """Record what is new; refuse an output that changed while its stage's version did not."""
    refused = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder).resolve())
        for name, derivation in cases(store).items():
            path = FOLDER / f"{name}.json"
            made = json.loads(json.dumps(outcome(derivation, store)))
            before = json.loads(path.read_text()) if path.exists() else None
            if before is not None and before["version"] == made["version"]:
                change = difference(before, made)
                if change:
                    refused.append(f"{name} version {made['version']}{change}: raise the version of the stage.")
                continue
            FOLDER.mkdir(exist_ok=True)
            path.write_text(json.dumps(made, separators=(",", ":")) + "\n")
            print(f"recorded {name} version {made['version']}")
    if refused:
        sys.exit("\n".join(refused))


if __name__ == "__main__":
    main()
