"""Cards of exports that rows were taken out of: they say so, and name nobody who is gone."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Final

from tasks.forget.exports_names import Names

_TAKEN_OUT: Final = (
    "> Samples were taken out of this folder after this card was written. What is counted below is what there was "
    "before; `contents.json` and the tables have what is left.\n"
)


def card_without(text: str, names: Names, empty_splits: Collection[str] = ()) -> str:
    """README.md of an export after rows went; said once, however often they do.

    Args:
        empty_splits: splits that have no rows any more, which `datasets` would not load.
    """
    for needle in names.needles:
        text = text.replace(needle, "(taken out)")
    for split in empty_splits:
        text = re.sub(rf"^ *- split: {re.escape(split)}\n *path: [^\n]*\n", "", text, flags=re.MULTILINE)
    if _TAKEN_OUT in text:
        return text
    head, title, rest = text.partition("\n# ") if not text.startswith("# ") else ("", "# ", text[2:])
    if not title:
        return _TAKEN_OUT + "\n" + text
    heading, _, body = rest.partition("\n")
    return f"{head}{title}{heading}\n\n{_TAKEN_OUT}{body}"


def croissant_without(data: bytes, rows: Mapping[str, int], identities: int) -> bytes:
    """croissant.json with the rows that each split has now; splits without rows are not named.

    Args:
        rows: split -> rows.
        identities: people in all of them.
    """
    said = json.loads(data)
    said["description"] = re.sub(
        r"^\d+ pictures of \d+", f"{sum(rows.values())} pictures of {identities}", said["description"]
    )
    kept = [each for each in said["distribution"] if rows.get(each["@id"].removesuffix("-files"))]
    for each in kept:
        each["description"] = f"{rows[each['@id'].removesuffix('-files')]} rows."
    said["distribution"] = kept
    said["recordSet"] = [each for each in said["recordSet"] if rows.get(each["@id"])]
    return (json.dumps(said, indent=1, ensure_ascii=False) + "\n").encode()
