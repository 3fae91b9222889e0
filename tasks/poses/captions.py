"""What a caption, and the source's own words, say about a photo."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final, Literal

from tasks.poses import words

Scene = Literal["sports", "urban", "outdoor", "indoor", "general"]
Gender = Literal["female", "male", "unisex"]

_SCENES: Final[tuple[tuple[Scene, tuple[str, ...]], ...]] = (
    ("urban", words.URBAN),
    ("outdoor", words.OUTDOOR),
    ("indoor", words.INDOOR),
)


def speaks_of_sport(caption: str | None) -> bool:
    """Whether a caption names a sport or its doing; clothes named after a sport do not count."""
    return _mentions(without(caption, words.NOT_SPORT), words.SPORT)


def scene(caption: str | None) -> Scene:
    """Where a photo was taken: sports if the caption speaks of it, else what most of its words speak of.

    Ties go to urban, then outdoor, then indoor; no such word: general.
    """
    if speaks_of_sport(caption):
        return "sports"
    text = without(caption, words.NOT_SPORT)
    counts = {name: len(_pattern(table).findall(text)) for name, table in _SCENES}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else "general"


def gender(source_gender: str | None, caption: str | None) -> Gender | None:
    """The source's own word where it has one, else what the caption calls the person, else unknown.

    A caption that names both, or neither, says nothing: which of them is the main person cannot be read from it.
    Pronouns are asked only where there is no noun.
    """
    for word in re.findall(r"[a-z]+", (source_gender or "").lower()):
        for name, known in words.SOURCE_GENDER.items():
            if word in known:
                return "female" if name == "female" else "male" if name == "male" else "unisex"
    text = without(caption, words.NOT_GENDER)
    for female, male in ((words.FEMALE, words.MALE), (words.SHE, words.HE)):
        she, he = _mentions(text, female), _mentions(text, male)
        if she or he:
            return None if she and he else "female" if she else "male"
    return None


def cloth_words(cloth: str | None, caption: str | None) -> tuple[str, ...]:
    """Families of garments and accessories that the source's cloth type or the caption names, in the tables' order."""
    text = f"{(cloth or '').lower()} . {(caption or '').lower()}"
    families = {**words.GARMENTS, **words.ACCESSORIES}
    return tuple(name for name, table in families.items() if _mentions(text, table))


def garment_family(cloth: str | None) -> str | None:
    """The first garment or accessory that a cloth type names, e.g. `dress`; None where it names none that we know."""
    return next(iter(cloth_words(cloth, None)), None)


def names_any(text: str | None, table: Mapping[str, Iterable[str]]) -> bool:
    """Whether a text names anything of a table of families."""
    return any(_mentions((text or "").lower(), tuple(family)) for family in table.values())


def wears(caption: str | None, table: Mapping[str, Iterable[str]]) -> bool:
    """Whether a caption says that something of a table of families is worn: `wearing ...`, or `in a ...` close by."""
    text = (caption or "").lower()
    return any(
        _worn(tuple(family), words.WEARING, 8, ()).search(text)
        or _worn(tuple(family), words.IN, 3, words.ELSEWHERE).search(text)
        for family in table.values()
    )


def mentions(text: str | None, table: tuple[str, ...], but_not: tuple[str, ...] = ()) -> bool:
    """Whether a text holds a word of `table` once the phrases of `but_not` are taken out."""
    return _mentions(without(text, but_not), table)


def without(text: str | None, phrases: tuple[str, ...]) -> str:
    """The text in lower case, with each of the phrases replaced by a stop that no phrase crosses."""
    lower = (text or "").lower().replace("’", "'")
    return _pattern(phrases).sub(" . ", lower) if phrases else lower


def _mentions(text: str, table: tuple[str, ...]) -> bool:
    return _pattern(table).search(text) is not None


@cache
def _worn(
    things: tuple[str, ...], verbs: tuple[str, ...], words_between: int, stops: tuple[str, ...]
) -> re.Pattern[str]:
    """A verb, at most so many words that are no stop, and a thing, all in one sentence."""
    stop = rf"(?!(?:{'|'.join(stops)})\b)" if stops else ""
    return re.compile(
        rf"{_pattern(verbs).pattern}(?:\s+{stop}[\w'-]+,?){{0,{words_between}}}?\s+{_pattern(things).pattern}"
    )


@cache
def _pattern(table: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for a table: whole words, longest first; `*` stands for letters, a space for any white space."""
    longest_first = sorted(table, key=len, reverse=True)
    bodies = [re.escape(word).replace(r"\ ", r"\s+").replace(r"\*", r"[\w-]*") for word in longest_first]
    return re.compile(rf"(?<![\w-])(?:{'|'.join(bodies)})(?![\w-])")
