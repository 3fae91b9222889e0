"""Looks whose labels and repeats are known, and what the stages of labels and groups say of them."""

from collections import defaultdict
from functools import cached_property
from typing import Final

from tasks.controls.finding import Finding
from tasks.controls.inspected import coloured, unusable
from tasks.controls.passage import Came, Row
from tasks.controls.pictures import Photo, blocks, photo, stripes
from tasks.fashion.groups import GroupConfig
from tasks.schema.fashion import RUNWAY, STREET
from tasks.schema.rejections import Reason

LEAST_SIDE: Final = 96

STRIPED: Final = 1024
"""Width of the fine stripes: every embedder makes them small."""

WORN: Final = (
    (("dress", "outer", "bag"), "dress"),
    (("outer", "top", "pants"), "outerwear"),
    (("top", "skirt"), "top+bottom"),
    (("shorts", "footwear"), "bottoms"),
    (("boots", "bag"), "footwear"),
    (("bag", "sunglasses"), "bag"),
    (("headwear",), "accessory"),
    (("top",), "other"),
)
"""What is worn and what that counts as: one line of the seed's table of precedence each."""

_SAID: Final = ("source", "original_dataset", "image_path", "split", "designer", "season", "author", "garments")


class PlantedLooks:
    """The photos of the control, and what is true of them."""

    def __init__(self, min_side: int) -> None:
        self.min_side, self.side = min_side, max(LEAST_SIDE, min_side * 3 // 2)

    @cached_property
    def photos(self) -> list[Photo]:
        """All of them, in the order of the rows."""
        boards = [photo(f"control/worn-{n}", blocks(self.side, 100 + n)) for n in range(len(WORN) + 1)]
        first = boards[0]
        return [
            *boards,
            Photo("control/again", first.upright, first.data, first.format),
            photo("control/nearly", boards[1].upright, "JPEG", quality=90),
            photo("control/stripes", stripes(self.side, max(STRIPED, self.side))),
            *coloured(self.side),
            *unusable(self.side, self.min_side),
        ]

    @property
    def repeats(self) -> dict[str, Reason]:
        """Photos whose bytes came before."""
        return {"control/again": Reason.DUPLICATE_EXACT}

    @cached_property
    def garments(self) -> dict[str, tuple[str, ...] | None]:
        """What each photo is labelled with; None: it is not."""
        worn = {f"control/worn-{n}": garments for n, (garments, _) in enumerate(WORN)}
        return {each.name: worn.get(each.name) for each in self.photos}

    @cached_property
    def categories(self) -> dict[str, str | None]:
        """What each photo counts as."""
        counts = {f"control/worn-{n}": category for n, (_, category) in enumerate(WORN)}
        return {each.name: counts.get(each.name) for each in self.photos}

    def rows(self) -> list[Row]:
        """Rows of `LOOK_SCHEMA`; every photo has a designer and a season of its own."""
        return [
            {
                "sample_id": each.name,
                "source": STREET if self.garments[each.name] is not None else RUNWAY,
                "original_dataset": "controls",
                "image_path": f"{each.name}.img",
                "split": "train" if n % 2 else None,
                "designer": f"designer {n}",
                "season": f"season {n}",
                "author": "two photos" if each.name in ("control/worn-2", "control/worn-3") else None,
                "garments": self.garments[each.name],
                "image": {"bytes": each.data, "path": each.name},
            }
            for n, each in enumerate(self.photos)
        ]


def label_findings(told: Came, inspected: Came, known: PlantedLooks) -> list[Finding]:
    """Whether each photo has its own labels, and the category that they make."""
    stage = "labels"
    planted = {row["sample_id"]: row for row in known.rows()}
    rows = told.kept
    garments = {n: (row["garments"] and tuple(row["garments"])) == known.garments[n] for n, row in rows.items()}
    said = {
        name: all(row[column] == planted[name][column] for column in _SAID if column != "garments")
        for name, row in rows.items()
    }
    facts = {
        name: all(row[column] == inspected.kept[name][column] for column in ("width", "height", "sha256", "phash"))
        for name, row in rows.items()
    }
    return [
        Finding.none_wrong(stage, "what the source said", said, "Designer, season, author and path of each photo."),
        Finding.none_wrong(stage, "what inspection said", facts),
        Finding.none_wrong(stage, "garments", garments),
        Finding.none_wrong(
            stage,
            "categories",
            {name: row["category"] == known.categories[name] for name, row in rows.items()},
            "By the table of precedence.",
        ),
    ]


def group_findings(grouped: Came, told: Came, config: GroupConfig) -> list[Finding]:
    """Whether repeats of a picture and photos of one author are together, others apart, and groups in one fold."""
    stage = "groups"
    rows = grouped.kept
    members: dict[str, set[str]] = defaultdict(set)
    folds: dict[str, set[str]] = defaultdict(set)
    for name, row in rows.items():
        members[row["group_id"]].add(name)
        folds[row["group_id"]].add(row["fold"])
    pictures, authors = ("control/worn-1", "control/nearly"), ("control/worn-2", "control/worn-3")
    together: dict[str, bool] = {}
    if config.near_duplicate_bits >= 0:
        bits = (rows[pictures[0]]["phash"] ^ rows[pictures[1]]["phash"]).bit_count()
        together["one picture twice"] = (bits > config.near_duplicate_bits) != _share(members, *pictures)
    together["one author"] = config.by_author == _share(members, *authors)
    together["two pictures"] = not _share(members, "control/worn-4", "control/worn-5")
    return [
        Finding.none_wrong(stage, "who belongs together", together, "Repeats and photos of one author, and no others."),
        Finding.none_wrong(stage, "groups in one fold", {name: len(each) == 1 for name, each in folds.items()}),
        Finding.none_wrong(
            stage,
            "rows as they were",
            {
                name: all(row[column] == told.kept[name][column] for column in told.kept[name])
                for name, row in rows.items()
            },
        ),
    ]


def _share(members: dict[str, set[str]], one: str, other: str) -> bool:
    return any({one, other} <= each for each in members.values())
