"""Categories, formats and their distribution as a `generator_config.json` of the seed writes them down.

Sizes stand in `formats` (format -> gt_size, folder) or `format_config` (category -> format -> gt_size, probability),
shares in `format_config`, `format_distributions` (category -> format -> share) or `categories` (category -> folder,
formats). What a file does not say is as in the seed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tasks.patches.config_faults import Location, meant
from tasks.patches.formats import FORMATS, SCALE, SEED_CATEGORIES

SECTIONS: Final = ("formats", "format_config", "format_distributions", "categories")

_FORMAT: Final = ("gt_size", "lr_size", "width", "height", "folder", "probability")


@dataclass
class Translation:
    """A configuration on its way to our form.

    `given` has the shape of our form, `instead` says what places in it are called in the file (see
    `tasks.patches.config_faults.place_of`), `faults` and `notes` are what was noticed on the way.
    """

    given: dict[str, Any] = field(default_factory=dict)
    instead: dict[Location, str] = field(default_factory=dict)
    faults: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def look_for_unknown(self, place: str, known: tuple[str, ...], given: Mapping[Any, Any]) -> None:
        """Names that we do not know: slips of known ones are faults, others are noted, comments are neither."""
        for key in given:
            if key in known or str(key).startswith(("_", "//", "#")):
                continue
            close, where = meant(str(key), known), f"{place}.{key}" if place else str(key)
            if close:
                self.faults.append((where, f"unknown, did you mean {close}?"))
            else:
                self.notes.append(f"{where} is not known and not used.")

    def mapping(self, place: str, found: object) -> Mapping[str, Any]:
        """What stands at a place, which should be a mapping; without comments. Empty where it is none: a fault."""
        if isinstance(found, Mapping):
            return {str(key): value for key, value in found.items() if not str(key).startswith("_")}
        self.faults.append((place, f"a mapping is wanted, not {shortly(found)}"))
        return {}


def shortly(value: object) -> str:
    """A value as a message shows it."""
    said = repr(value)
    return said if len(said) <= 60 else f"{said[:57]}..."


def read_categories(given: Mapping[str, Any], read: Translation) -> None:
    """Put the categories and formats of a file into the translation: the seed's own, with what the file says."""
    if not given.keys() & set(SECTIONS):
        return
    formats = {name: each.model_dump() for name, each in FORMATS.items()}
    categories = {each.name: each.model_dump() for each in SEED_CATEGORIES}
    format_places = {name: f"formats.{name}" for name in formats}
    category_places: dict[str, str] = {}
    share_places = {name: f"categories.{name}.formats" for name in categories}
    for place, name, said in _described(given, read):
        format_places.setdefault(name, place)
        _read_format(place, name, said, formats, read)
    for place, name, shares in _distributions(given, read):
        category_places[name] = place.removesuffix(".formats")
        share_places[name] = place
        categories.setdefault(name, {"name": name, "folder": default_folder(name)})["formats"] = shares
    for name, said in read.mapping("categories", given.get("categories", {})).items():
        if isinstance(said, Mapping) and "folder" in said:
            categories.setdefault(name, {"name": name})["folder"] = said["folder"]
    read.given |= {"formats": list(formats.values()), "categories": list(categories.values())}
    for index, name in enumerate(formats):
        read.instead[("formats", index)] = format_places.get(name, f"formats.{name}")
    for index, name in enumerate(categories):
        read.instead[("categories", index)] = category_places.get(name, f"categories.{name}")
        read.instead[("categories", index, "formats")] = share_places.get(name, f"categories.{name}.formats")


def default_folder(category: str) -> str:
    """The folder of a category that has none, named as the seed names those of space and toon."""
    name = category.capitalize()
    return f"{name}/{name}Model/Learn"


def _described(given: Mapping[str, Any], read: Translation) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Place, name and description of every format, as often as it is described."""
    for name, said in read.mapping("formats", given.get("formats", {})).items():
        yield f"formats.{name}", name, read.mapping(f"formats.{name}", said)
    for category, below in read.mapping("format_config", given.get("format_config", {})).items():
        place = f"format_config.{category}"
        for name, said in read.mapping(place, below).items():
            yield f"{place}.{name}", name, read.mapping(f"{place}.{name}", said)


def _distributions(given: Mapping[str, Any], read: Translation) -> Iterator[tuple[str, str, Any]]:
    """Place, category and shares of every distribution."""
    for category, below in given["format_config"].items() if isinstance(given.get("format_config"), Mapping) else ():
        if isinstance(below, Mapping):
            described = ((name, said) for name, said in below.items() if isinstance(said, Mapping))
            yield f"format_config.{category}", category, {name: said.get("probability") for name, said in described}
    for category, shares in read.mapping("format_distributions", given.get("format_distributions", {})).items():
        yield f"format_distributions.{category}", category, shares
    for category, below in given["categories"].items() if isinstance(given.get("categories"), Mapping) else ():
        place = f"categories.{category}"
        said = read.mapping(place, below)
        read.look_for_unknown(place, ("folder", "formats"), said)
        if "formats" in said:
            yield f"{place}.formats", category, said["formats"]


def _read_format(
    place: str, name: str, said: Mapping[str, Any], formats: dict[str, dict[str, Any]], read: Translation
) -> None:
    """Put one description of a format to what is known: `gt_size` [width, height], `lr_size` a third of it."""
    read.look_for_unknown(place, _FORMAT, said)
    known = formats.setdefault(name, {"name": name, "folder": f"Patches_{name}"})
    if "folder" in said:
        known["folder"] = said["folder"]
    size = said.get("gt_size", [said[key] for key in ("width", "height") if key in said])
    if not size and "width" in known:
        return
    if not isinstance(size, list | tuple) or len(size) != 2:
        read.faults.append((f"{place}.gt_size", f"[width, height] is wanted, not {shortly(size)}"))
        known |= dict(zip(("width", "height"), FORMATS["small_540"].size, strict=True))
        return
    low = said.get("lr_size")
    if low is not None and (not isinstance(low, list | tuple) or [_larger(each) for each in low] != list(size)):
        read.faults.append((f"{place}.lr_size", f"{shortly(low)} times {SCALE} is not the size {shortly(size)}"))
    width, height = size
    if name in FORMATS and (height, width) == FORMATS[name].size != (width, height):
        read.notes.append(f"{place}: {shortly(size)} was read as height and width; {name} is {height} x {width}.")
        width, height = height, width
    if "width" in known and name not in FORMATS and (known["width"], known["height"]) != (width, height):
        read.faults.append((place, f"{shortly(size)} is another size of {name} than before"))
    known |= {"width": width, "height": height}


def _larger(side: object) -> object:
    return side * SCALE if isinstance(side, int) else side
