"""Configurations of `video_patches`: a `generator_config.json` of the seed as it is, or one of our own form.

All that is wrong is said at once, each fault with its place in what was given, before any work starts.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from tasks.patches.config import VideoPatchesForm
from tasks.patches.config_faults import Fault, Location, contradictions, meant, missing_files, place_of
from tasks.patches.plan import MOST_REPLACEMENTS
from tasks.patches.seed_formats import Translation, read_categories, shortly
from tasks.schema.errors import ConfigError

_SETTINGS: Final[dict[str, Location]] = {
    "base_frame_limit": ("windows_per_film",),
    "output_base_dir": ("output",),
    "temp_dir": ("machine", "temporary"),
    "max_workers": ("machine", "workers"),
    "max_retry_attempts": ("planning", "replacements"),
    "scene_diff_threshold": ("stability", "difference_limit"),
    "random_seed": ("planning", "seed"),
    "seed": ("planning", "seed"),
}
_UNUSED: Final = {
    "lr_versions": "both stacks are written",
    "min_file_size": "written files are read again instead",
    "retry_skip_seconds": "replacements lie close behind a window, where the same frames are decoded",
    "status_file": "the store knows what was made",
    "val_percent": "Val is never filled automatically",
}
_SECTIONS: Final = ("base_settings", "videos", "format_config", "format_distributions", "formats", "categories")
_VIDEO: Final = ("name", "path", "categories", "licence", "license")


@dataclass(frozen=True)
class ReadConfig:
    """A configuration that has no faults; `notes` are sentences on what a person may want to know about it."""

    form: VideoPatchesForm
    notes: tuple[str, ...]


def read_config(given: object, *, look: bool = True) -> ReadConfig:
    """A configuration of either form, as JSON or YAML give it.

    Args:
        given: the seed's form has `videos` or `base_settings`, our own `films`.
        look: whether the films have to be there.
    Raises:
        ConfigError: all that is wrong with it.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(f"The configuration is no mapping of names to values, but {type(given).__name__}.")
    if "videos" in given or "base_settings" in given:
        return read_seed_config(given, look=look)
    return _read(Translation(dict(given)), look=look)


def read_seed_config(given: Mapping[str, Any], *, look: bool = True) -> ReadConfig:
    """A `generator_config.json`: base_settings, videos, and where it has them formats and their distribution.

    Distributions stand in `format_config` (category -> format -> gt_size, probability), `format_distributions`
    (category -> format -> share) or `categories` (category -> folder, formats); sizes in `format_config` or `formats`
    (format -> gt_size, folder). What we have no use for is noted.

    Raises:
        ConfigError: all that is wrong with it, by the places in this file.
    """
    read = Translation()
    read.look_for_unknown("", (*_SECTIONS, "category_targets"), given)
    _read_settings(given.get("base_settings", {}), read)
    _read_videos(given.get("videos"), read)
    read_categories(given, read)
    found = _read(read, look=look)
    targets = given.get("category_targets")
    if isinstance(targets, Mapping):
        planned = ", ".join(f"{name} {count:,}" for name, count in found.form.totals().items())
        note = f"category_targets is not used: base_frame_limit times the weights gives {planned}."
        return ReadConfig(found.form, (*found.notes, note))
    return found


def demand_films(form: VideoPatchesForm) -> None:
    """Look for the films of a form.

    Raises:
        ConfigError: names all that are not there.
    """
    faults = [(place_of(location), said) for location, said in missing_files(form.model_dump())]
    if faults:
        raise _error(faults)


def _read(read: Translation, *, look: bool) -> ReadConfig:
    form: VideoPatchesForm | None = None
    found: list[Fault] = []
    try:
        form = VideoPatchesForm.model_validate(read.given)
    except ValidationError as error:
        found += _faults_of(error)
    if form is None:
        found += contradictions(_with_defaults(read.given), read.instead)
    if look:
        found += missing_files(read.given)
    faults = [*read.faults, *((place_of(location, read.instead), said) for location, said in found)]
    if faults or form is None:
        raise _error(faults)
    return ReadConfig(form, (*read.notes, *_sums(form, read.instead)))


def _error(faults: list[tuple[str, str]]) -> ConfigError:
    ordered = sorted(faults, key=lambda fault: _in_order(fault[0]))
    lines = dict.fromkeys(f"  {place}: {said}" for place, said in ordered)
    count = "one fault" if len(lines) == 1 else f"{len(lines)} faults"
    return ConfigError("\n".join((f"The configuration has {count}; nothing was started:", *lines)))


def _in_order(place: str) -> list[tuple[int, str]]:
    """A key that sorts places by their names and, as numbers, their positions."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"[\[\].]+", place)]


def _with_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {name: field.get_default() for name, field in VideoPatchesForm.model_fields.items()}
    plain = {name: [each.model_dump() for each in defaults[name]] for name in ("categories", "formats")}
    return {**plain, **given}


_SAID: Final = {
    "missing": "is missing",
    "too_short": "is empty",
    "bool_parsing": "should be true or false",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_parsing": "should be a number",
    "string_type": "should be text (numbers in quotes)",
    "model_type": "should be a mapping",
    "dict_type": "should be a mapping",
}
"""Kinds of errors of the form's validation, where its own words are not for everybody."""


def _faults_of(error: ValidationError) -> Iterator[Fault]:
    """What the form's validation found, but for what `contradictions` finds as well."""
    for each in error.errors(include_url=False):
        location, kind, given = tuple(each["loc"]), each["type"], each["input"]
        if not location or (kind == "too_short" and given):
            continue
        if kind == "extra_forbidden":
            yield location, "unknown" + _meant_in(location)
        elif kind in ("missing", "value_error"):
            yield location, _SAID.get(kind, each["msg"].removeprefix("Value error, "))
        else:
            said = _SAID.get(kind, each["msg"].replace("Input should be", "should be"))
            yield location, f"{said[0].lower()}{said[1:]}" + ("" if kind == "too_short" else f", not {shortly(given)}")


def _meant_in(location: Location) -> str:
    """What a name that our form does not know may have been meant to be."""
    schema: Any = VideoPatchesForm.model_json_schema()
    defined, here = schema["$defs"], schema
    for step in location[:-1]:
        below = here.get("items", {}) if isinstance(step, int) else here.get("properties", {}).get(step, {})
        here = defined[below["$ref"].rpartition("/")[2]] if "$ref" in below else below
    close = meant(str(location[-1]), here.get("properties", {}))
    return f", did you mean {close}?" if close else ""


def _sums(form: VideoPatchesForm, instead: Mapping[Location, str]) -> Iterator[str]:
    for index, film in enumerate(form.films):
        total = sum(film.categories.values())
        if abs(total - 1) > 1e-6:
            windows = sum(each.windows for each in form.wanted(film).categories)
            place = place_of(("films", index), instead)
            yield f"{place}: the weights of {film.name!r} add up to {total:g}, not to 1: {windows:,} windows."


def _read_settings(settings: object, read: Translation) -> None:
    if not isinstance(settings, Mapping):
        read.faults.append(("base_settings", f"a mapping is wanted, not {shortly(settings)}"))
        return
    read.look_for_unknown("base_settings", (*_SETTINGS, *_UNUSED), settings)
    for key, location in _SETTINGS.items():
        if key in settings and settings[key] is not None:
            read.instead[location] = f"base_settings.{key}"
            section = read.given
            for step in location[:-1]:
                section = section.setdefault(str(step), {})
            section[str(location[-1])] = settings[key]
    tries = settings.get("max_retry_attempts")
    if isinstance(tries, int) and tries > MOST_REPLACEMENTS:
        read.given["planning"]["replacements"] = MOST_REPLACEMENTS
        read.notes.append(f"base_settings.max_retry_attempts: {MOST_REPLACEMENTS} at most, not {tries}.")
    for key, why in _UNUSED.items():
        if key in settings:
            read.notes.append(f"base_settings.{key} is not used: {why}.")


def _read_videos(videos: object, read: Translation) -> None:
    read.instead[("films",)] = "videos"
    if videos is None:
        read.faults.append(("videos", "no films are given"))
        videos = []
    films: list[Any] = []
    for index, video in enumerate(videos if isinstance(videos, list | tuple) else ()):
        if not isinstance(video, Mapping):
            films.append(video)
            continue
        read.look_for_unknown(f"videos[{index}]", _VIDEO, video)
        film = {key: video[key] for key in ("name", "path", "categories", "licence") if key in video}
        if "license" in video:
            film.setdefault("licence", video["license"])
        films.append(film)
    read.given["films"] = films if isinstance(videos, list | tuple) else videos
