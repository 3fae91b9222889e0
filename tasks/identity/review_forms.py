"""Doubts as Label Studio tasks or a FiftyOne dataset, and what people answered there, as verdicts.

label_studio/   tasks.json (to import), labels.xml (the labelling interface), pictures/<doubt>_a.jpg and _b.jpg
fiftyone/       labels.json and data/<doubt>.jpg, both faces side by side: FiftyOneImageClassificationDataset
doubts.csv      beside either: doubt, faces, identities, kind, similarity; its column `verdict` may be filled in by hand

Sources: "Basic Label Studio JSON" and "Label Studio JSON format of annotated tasks" (labelstud.io/guide), and the
dataset type of that name in FiftyOne's list of import formats (labels null: not labelled yet).
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any, Final, cast, get_args

import cv2
import numpy as np

from tasks.identity.review import Doubt
from tasks.identity.review_ledger import Verdict, Word
from tasks.schema.errors import SourceError

CHOICES: Final = {
    "same": "the same person",
    "different": "two people",
    "remove": "the first is no usable face",
    "unsure": "cannot say",
}
_SIDE = 320
_JPEG_QUALITY = 95
_COLUMNS: Final = ("doubt_id", *(field.name for field in fields(Doubt)), "verdict")


def write_label_studio(folder: Path, doubts: Sequence[Doubt], pictures: Mapping[str, bytes], served_at: str) -> int:
    """Write tasks with their pictures; doubts without pictures of both faces are left out.

    Args:
        folder: an empty or missing folder.
        pictures: face -> its aligned picture, encoded.
        served_at: what `folder` is called in addresses, as `/data/local-files/?d=review` (Label Studio's local files)
            or `https://...`.
    Returns:
        how many tasks were written.
    """
    shown = _shown(doubts, pictures)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    tasks = []
    for doubt in shown:
        for side, face in (("a", doubt.face_a), ("b", doubt.face_b)):
            (folder / "pictures" / f"{doubt.doubt_id}_{side}.jpg").write_bytes(pictures[face])
        at = f"{served_at.rstrip('/')}/pictures/{doubt.doubt_id}"
        data = {"doubt_id": doubt.doubt_id, **_columns(doubt), "question": doubt.question}
        tasks.append({"data": {**data, "picture_a": f"{at}_a.jpg", "picture_b": f"{at}_b.jpg"}})
    _write_json(folder / "tasks.json", tasks)
    (folder / "labels.xml").write_text(_interface(), encoding="utf-8")
    _write_csv(folder / "doubts.csv", shown)
    return len(shown)


def write_fiftyone(folder: Path, doubts: Sequence[Doubt], pictures: Mapping[str, bytes]) -> int:
    """Write one picture a doubt, both faces side by side, and a label file without labels.

    Returns:
        how many doubts were written; those without two readable pictures are left out.
    """
    (folder / "data").mkdir(parents=True, exist_ok=True)
    written = []
    for doubt in _shown(doubts, pictures):
        both = _side_by_side(pictures[doubt.face_a], pictures[doubt.face_b])
        if both is not None:
            (folder / "data" / f"{doubt.doubt_id}.jpg").write_bytes(both)
            written.append(doubt)
    labels = {doubt.doubt_id: None for doubt in written}
    _write_json(folder / "labels.json", {"classes": list(CHOICES), "labels": labels})
    _write_csv(folder / "doubts.csv", written)
    return len(written)


def read_verdicts_of(path: Path) -> list[Verdict]:
    """Verdicts of whatever form a path has: a folder is FiftyOne's, `.json` Label Studio's, anything else a CSV.

    Raises:
        SourceError: the file is not there, or does not have the form.
    """
    if path.is_dir():
        return read_fiftyone(path)
    return read_label_studio(path) if path.suffix == ".json" else read_csv(path)


def read_label_studio(path: Path) -> list[Verdict]:
    """Verdicts of an export (JSON, or JSON-MIN); of several answers to a task the last that was not cancelled.

    Raises:
        SourceError: the file is no such export.
    """
    tasks = _read_json(path)
    if not isinstance(tasks, list):
        raise SourceError(f"{path} is no export of Label Studio: a list of tasks is expected.")
    found = []
    try:
        for task in tasks:
            data = task.get("data", task)
            word, reviewer = _last_answer(task) if "data" in task else (task.get("verdict"), "")
            if word:
                found.append(_verdict(word, data, reviewer, path))
    except (AttributeError, KeyError, IndexError, TypeError) as error:
        raise SourceError(f"{path} is no export of Label Studio: {error!r}.") from error
    return found


def read_fiftyone(folder: Path) -> list[Verdict]:
    """Verdicts of a dataset that was written here, labelled, and exported in the same form; `doubts.csv` beside it.

    Raises:
        SourceError: a file is missing or does not have the form.
    """
    said = _read_json(folder / "labels.json")
    doubts = _rows(folder / "doubts.csv")
    try:
        faces = {row["doubt_id"]: row for row in doubts}
        classes, labels = said.get("classes"), said["labels"]
        found = []
        for name, label in labels.items():
            target = label.get("label") if isinstance(label, dict) else label
            if target is not None:
                word = classes[target] if isinstance(target, int) else target
                found.append(_verdict(word, faces[Path(name).stem], "", folder))
    except (AttributeError, KeyError, IndexError, TypeError) as error:
        raise SourceError(f"{folder} is no labelled copy of a review written here: {error!r}.") from error
    return found


def read_csv(path: Path) -> list[Verdict]:
    """Verdicts of a table with the columns face_a, face_b, verdict and, if wanted, reviewer; empty ones are skipped.

    Raises:
        SourceError: a column is missing, or a word is not one of `CHOICES`.
    """
    return [
        _verdict(row["verdict"].strip(), row, row.get("reviewer") or "", path)
        for row in _rows(path)
        if (row.get("verdict") or "").strip()
    ]


def _verdict(word: object, row: Mapping[str, Any], reviewer: str, where: Path) -> Verdict:
    if word not in get_args(Word):
        raise SourceError(f"{where}: the verdict {word!r} is none of {', '.join(CHOICES)}.")
    face_a, face_b = row.get("face_a"), row.get("face_b")
    if not isinstance(face_a, str) or not face_a or (word != "remove" and not face_b):
        raise SourceError(f"{where}: the verdict {word!r} lacks its faces (face_a, face_b).")
    return Verdict.of(cast(Word, word), face_a, None if word == "remove" else face_b, reviewer)


def _last_answer(task: Mapping[str, Any]) -> tuple[str | None, str]:
    """The word and who said it."""
    answers = [each for each in task.get("annotations", []) if not each.get("was_cancelled")]
    for answer in sorted(answers, key=lambda each: str(each.get("updated_at") or each.get("created_at") or ""))[::-1]:
        for result in answer.get("result", []):
            chosen = result.get("value", {}).get("choices")
            if result.get("from_name") == "verdict" and chosen:
                who = answer.get("completed_by", "")
                return str(chosen[0]), str(who.get("email", "") if isinstance(who, dict) else who)
    return None, ""


def _shown(doubts: Sequence[Doubt], pictures: Mapping[str, bytes]) -> list[Doubt]:
    unique = {doubt.doubt_id: doubt for doubt in doubts}
    return [doubt for doubt in unique.values() if doubt.face_a in pictures and doubt.face_b in pictures]


def _columns(doubt: Doubt) -> dict[str, Any]:
    values = dict(zip((field.name for field in fields(Doubt)), astuple(doubt), strict=True))
    return {**values, "similarity": round(doubt.similarity, 4)}


def _side_by_side(left: bytes, right: bytes) -> bytes | None:
    """One JPEG of two pictures; None if one cannot be read."""
    squares = []
    for data in (left, right):
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            return None
        squares.append(cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA))
    encoded = cv2.imencode(".jpg", np.hstack(squares), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    return bytes(encoded)


def _interface() -> str:
    """Two pictures and one choice; `verdict` is the name that the answers carry."""
    choices = "\n".join(
        f'    <Choice value="{word}" alias="{word}" hint="{meaning}"/>' for word, meaning in CHOICES.items()
    )
    return f"""<View>
  <Header value="$question"/>
  <Text name="why" value="$kind: cosine $similarity"/>
  <View style="display: flex; gap: 16px">
    <Image name="picture_a" value="$picture_a"/>
    <Image name="picture_b" value="$picture_b"/>
  </View>
  <Choices name="verdict" toName="picture_a" choice="single" required="true">
{choices}
  </Choices>
</View>
"""


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(f"{path} cannot be read as JSON: {error}.") from error


def _write_csv(path: Path, doubts: Sequence[Doubt]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, _COLUMNS)
        writer.writeheader()
        writer.writerows({"doubt_id": doubt.doubt_id, **_columns(doubt), "verdict": ""} for doubt in doubts)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read as CSV: {error}.") from error
    if rows and not {"face_a", "face_b", "verdict"} <= rows[0].keys():
        raise SourceError(f"{path} needs the columns face_a, face_b and verdict; other sheets are read with `--of`.")
    return rows
