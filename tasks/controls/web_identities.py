"""Faces of known people, and what the stages from the gate to the members say of them."""

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.controls.finding import Finding
from tasks.controls.passage import Came, Row
from tasks.controls.web_faces import person_row
from tasks.identity.clean_work import CleanConfig
from tasks.models.embedding import GateFloors
from tasks.schema.rejections import Reason

PEOPLE: Final = 6
LEAST_FACES: Final = 6

OWN: Final = 0.95
"""Cosine of a face to its person: two faces of one person have 0.90, those of two people 0 or about that."""

SPREAD: Final = 0.02
COSINE: Final = 2e-3
"""By which cosines of embeddings in half precision may differ from those of the planted ones."""

_FLOORS: Final = {
    "face_side_px": Reason.FACE_TOO_SMALL,
    "face_score": Reason.FACE_SCORE_LOW,
    "sharpness": Reason.FACE_BLURRED,
    "frontality": Reason.FACE_TURNED_AWAY,
    "norm": Reason.FACE_FAINT,
}
"""In the order in which the gate looks."""

LONE: Final = "control/lone/p0/f0"
AGAIN: Final = "control/person0-again/p0/f0"


class PlantedIdentities:
    """Six people with several faces each, a face of nobody else, a repeat, and one face under each floor of the gate.

    Args:
        width: of the embeddings.
        floors: of the gate.
        clean: the rules of cleaning, which want so many images of each.
    """

    def __init__(self, width: int, floors: GateFloors, clean: CleanConfig) -> None:
        self.width, self.floors, self.clean = width, floors, clean
        self.per_person = max(LEAST_FACES, clean.min_images + 2)

    @cached_property
    def vectors(self) -> dict[str, NDArray[np.float64]]:
        """Face -> its unit embedding."""
        draw = np.random.default_rng(17)
        centres = np.linalg.qr(draw.normal(size=(self.width, PEOPLE + 1)))[0].T
        made = {name: self._around(centres[who], draw) for name, who in self.person_of.items()}
        made[LONE] = centres[PEOPLE]
        made[AGAIN] = made["control/person0-0/p0/f0"]
        return made | dict.fromkeys(self.gated_out, centres[0])

    def _around(self, centre: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.float64]:
        aside = draw.normal(size=self.width)
        aside -= (aside @ centre) * centre
        return OWN * centre + float(np.sqrt(1 - OWN**2)) * aside / np.linalg.norm(aside)

    @cached_property
    def person_of(self) -> dict[str, int]:
        """Face -> whose it is."""
        return {f"control/person{who}-{n}/p0/f0": who for who in range(PEOPLE) for n in range(self.per_person)}

    @cached_property
    def gated_out(self) -> dict[str, Reason]:
        """Faces under a floor of the gate; a floor of 0 is none."""
        return {f"control/under-{name}/p0/f0": why for name, why in _FLOORS.items() if getattr(self.floors, name) > 0}

    @property
    def alone(self) -> dict[str, Reason]:
        return {LONE: Reason.NO_MATCH}

    @property
    def repeats(self) -> dict[str, Reason]:
        """The second of two faces of one photo that is there twice."""
        return {AGAIN: Reason.DUPLICATE_EXACT}

    @property
    def linked(self) -> set[str]:
        return {*self.person_of, AGAIN}

    @property
    def ids(self) -> set[str]:
        return {*self.vectors}

    def embedding_rows(self) -> list[Row]:
        """Rows of `embedding_schema`: all floors are reached, but for the one that a face is under."""
        rows = []
        for name, vector in self.vectors.items():
            values = {floor: _over(floor, getattr(self.floors, floor), self.clean) for floor in _FLOORS}
            under = name.removeprefix("control/under-").split("/")[0]
            if under in values:
                values[under] = 0.9 * getattr(self.floors, under)
            who = self.person_of.get(name, 0 if name == AGAIN else name)
            rows.append(
                {
                    "sample_id": name,
                    "parent_id": name.removesuffix("/f0"),
                    "idx": name,
                    "label": f"label of {who}",
                    "photo_id": name.split("/p")[0] if name.count("/p") < 2 else name.rsplit("/", 2)[0],
                    "face_xyxy": [0.0, 0.0, 100.0, 100.0],
                    "embedding": vector.astype(np.float16).tolist(),
                    **values,
                }
            )
        return rows

    def person_rows(self) -> list[Row]:
        """Rows of `PERSON_SCHEMA`; photos look nothing alike, but for the repeat."""
        rows = []
        for name in self.vectors:
            photo = name.rsplit("/", 2)[0]
            looks = sha256(("control/person0-0" if name == AGAIN else photo).encode())
            person = person_row(f"{photo}/p0", (320.0, 320.0))
            rows.append({**person, "sha256": looks.hexdigest(), "phash": int(looks.hexdigest()[:16], 16)})
        return rows


def _over(name: str, floor: float, clean: CleanConfig) -> float:
    """A value that reaches a floor with room."""
    if name in ("face_side_px", "norm"):
        return 2 * floor + 120.0 if name == "face_side_px" else 2 * floor + 10.0
    least = max(floor, clean.face_score_floor) if name == "face_score" else floor
    return (1 + least) / 2


def neighbour_findings(near: Came, known: PlantedIdentities) -> list[Finding]:
    """Neighbours against all cosines, one by one."""
    names = [*near.kept]
    vectors = np.stack([known.vectors[name].astype(np.float16).astype(np.float64) for name in names])
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    off = [0.0]
    own: dict[str, bool] = {}
    for at, row in enumerate(near.kept.values()):
        told = [(n, c) for n, c in zip(row["neighbours"], row["cosines"], strict=True) if n >= 0]
        best = np.sort(cosines[at])[::-1][: len(told)]
        off += [float(np.abs(np.array([c for _, c in told]) - best).max(initial=0))]
        off += [abs(float(cosines[at, n]) - c) if np.isfinite(cosines[at, n]) else 2.0 for n, c in told]
        who = known.person_of.get(names[at])
        closest = [names[n] for n, _ in told[: known.per_person - 1]]
        own[names[at]] = who is None or all(known.person_of.get(n, 0) == who for n in closest)
    return [
        Finding.at_most("neighbours", "cosines of neighbours", max(off), COSINE, "", "Against all, one by one."),
        Finding.none_wrong("neighbours", "nearest faces", own, "Those of the same person."),
    ]


def _whose(rows: Mapping[str, Row], known: PlantedIdentities) -> tuple[dict[str, set[int]], dict[int, set[str]]]:
    people: dict[str, set[int]] = defaultdict(set)
    names: dict[int, set[str]] = defaultdict(set)
    for name, row in rows.items():
        who = known.person_of.get(name, 0)
        people[row["identity"]].add(who)
        names[who].add(row["identity"])
    return people, names


def _people_findings(stage: str, rows: Mapping[str, Row], known: PlantedIdentities) -> list[Finding]:
    people, names = _whose(rows, known)
    pure = {name: len(each) == 1 for name, each in sorted(people.items())}
    whole = {f"person {who}": len(names[who]) == 1 for who in range(PEOPLE)}
    off = [0.0]
    for name, row in rows.items():
        others = [known.vectors[n] for n, other in rows.items() if other["identity"] == row["identity"] and n != name]
        centre = np.sum(others, axis=0) if others else known.vectors[name]
        off.append(abs(float(known.vectors[name] @ centre / np.linalg.norm(centre)) - row["similarity"]))
    return [
        Finding.none_wrong(stage, "identities", pure, "One person each."),
        Finding.none_wrong(stage, "people", whole, "One identity each."),
        Finding.at_most(stage, "similarity to the others", max(off), SPREAD, "cosine"),
    ]


def identity_findings(linked: Came, known: PlantedIdentities) -> list[Finding]:
    """Whether each person became one identity."""
    return _people_findings("identities", linked.kept, known)


def clean_findings(kept: Came, linked: Came, known: PlantedIdentities) -> list[Finding]:
    """Whether cleaning left whole people whole."""
    same = {name: row["identity"] == linked.kept[name]["identity"] for name, row in kept.kept.items()}
    return [
        *_people_findings("clean", kept.kept, known),
        Finding.none_wrong("clean", "identities of linkage", same, "Nobody is somebody else afterwards."),
    ]


def member_findings(members: Came, kept: Came) -> list[Finding]:
    """Whether everybody is in one split, with the identity that cleaning gave."""
    splits: dict[str, set[str]] = defaultdict(set)
    groups: dict[str, set[str]] = defaultdict(set)
    for row in members.kept.values():
        splits[row["identity"]].add(row["split"])
        groups[row["group_id"]].add(row["split"])
    columns = ("identity", "similarity", "label", "photo_id")
    same = {name: all(row[c] == kept.kept[name][c] for c in columns) for name, row in members.kept.items()}
    there = {name: name in members.kept for name in kept.kept}
    return [
        Finding.none_wrong("members", "everybody is there", there),
        Finding.none_wrong("members", "rows as cleaning gave them", same),
        Finding.none_wrong("members", "people in one split", {name: len(each) == 1 for name, each in splits.items()}),
        Finding.none_wrong("members", "groups in one split", {name: len(each) == 1 for name, each in groups.items()}),
    ]
