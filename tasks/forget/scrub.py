"""Takes names out of texts: ids, addresses and digests that other rows, records and forms mention."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from json import dumps, loads
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import JsonValue

from tasks.forget.doomed import Doomed
from tasks.shards.tombstones import Salt

_WORD = re.compile(r"[^\s\"'<>,;()\[\]{}\\]+")
"""What may be an id, an address or a digest within a sentence or JSON: none of them holds these."""

_ENDS = ".:"
"""What may follow a word in a sentence without being part of it."""

_DIGEST_BYTES = 32
"""A stand-in of a digest is as long as a digest, so that forms still read it."""


@dataclass(frozen=True)
class Scrubber:
    """Puts salted names in the place of what is to be forgotten; the same name always gets the same stand-in.

    Names of identities (`id-...`) and groups (`g...`) stay, also where they are digests of a face or photo that goes:
    readers and splits hold on to them, and an identity without faces is gone with its name. Only who has the very id of
    what went, and so its address, can tell by them that it was the first of those that are still there; they lead to
    no bytes, vector or place.
    """

    doomed: Doomed
    salt: Salt

    @cached_property
    def _stand_ins(self) -> Mapping[str, str]:
        """Only what cannot be an ordinary word: ids with a slash, addresses with one or a dot, digests."""
        names = {each: self.salt.name(each) for each in self.doomed.sample_ids if "/" in each}
        names |= {each: self.salt.name(each) for each in self.doomed.source_uris if "/" in each or "." in each}
        return names | {each: self.salt.digest("content", each, _DIGEST_BYTES) for each in self.doomed.digests}

    @cached_property
    def _plain(self) -> Mapping[str, str]:
        """All of it, for values that are a name and nothing else."""
        every = (*self.doomed.sample_ids, *self.doomed.source_uris)
        return {each: self.salt.name(each) for each in every} | dict(self._stand_ins)

    @cached_property
    def _files(self) -> frozenset[str]:
        """Addresses that are names of files: paths end with them."""
        return frozenset(each for each in self.doomed.source_uris if "." in each and "/" not in each)

    @cached_property
    def _odd(self) -> Mapping[str, str]:
        """Those with letters that no word has: addresses may hold any."""
        return {each: name for each, name in self._stand_ins.items() if not _WORD.fullmatch(each)}

    def text(self, value: str) -> str:
        """A text without them, also one that is JSON; the same object where it names none."""
        if value in self._stand_ins:
            return self._stand_ins[value]
        if value[:1] in ("{", "["):
            with suppress(ValueError):
                said = loads(value)
                new = self.json(said)
                return value if new == said else dumps(new)
        for each, name in self._odd.items():
            if each in value:
                value = value.replace(each, name)
        return _WORD.sub(self._word, value) if any(map(self._names, _WORD.findall(value))) else value

    def _names(self, word: str) -> bool:
        return self._found(word) is not None

    def _word(self, match: re.Match[str]) -> str:
        found = self._found(match.group())
        return match.group() if found is None else found

    def _found(self, word: str) -> str | None:
        bare = word.rstrip(_ENDS)
        known = self._stand_ins.get(bare)
        if known is None:
            roots = (bare[:at] for at, letter in enumerate(bare) if letter == "/" and at)
            root = next((each for each in roots if each in self._stand_ins), None)
            known = None if root is None else self._stand_ins[root] + bare[len(root) :]
        return None if known is None else known + word[len(bare) :]

    def json(self, value: JsonValue) -> JsonValue:
        """A JSON value of which no text names them; keys of objects too."""
        match value:
            case str():
                return self.text(value)
            case list():
                return [self.json(each) for each in value]
            case dict():
                return {self.text(name): self.json(each) for name, each in value.items()}
        return value

    def subject(self, value: JsonValue) -> JsonValue:
        """As `json`, of a value that is about them: also where a name is an ordinary word, or ends a path."""
        match value:
            case str():
                return self._plain.get(value) or self._path(value) or self.text(value)
            case list():
                return [self.subject(each) for each in value]
            case dict():
                return {name: self.subject(each) for name, each in value.items()}
        return value

    def form(self, value: JsonValue) -> JsonValue:
        """As `json`, of parameters: an object that names one of them with a path, digest or licence is about it."""
        match value:
            case list():
                return [self.form(each) for each in value]
            case dict() if any(map(self._tells, value.values())) or self._is_source(value):
                return self.subject(value)
            case dict():
                return {name: self.form(each) for name, each in value.items()}
            case str():
                return self._path(value) or self.text(value)
        return value

    def _tells(self, value: JsonValue) -> bool:
        return isinstance(value, str) and (
            value in self.doomed.digests or value in self._files or self._path(value) is not None
        )

    def _is_source(self, value: Mapping[str, JsonValue]) -> bool:
        """Whether it is a film or video with its licence: its name may be an ordinary word."""
        return "licence" in value and value.get("name") in self.doomed.roots

    def sentence(self, value: str) -> str:
        """As `text`, of a sentence for people: also paths that end with one of them."""
        return _WORD.sub(lambda match: self._path(match.group()) or match.group(), self.text(value))

    def _path(self, value: str) -> str | None:
        if "/" not in value:
            return None
        path = PurePosixPath(value)
        if path.name not in self._files:
            return None
        return f"{value[: -len(path.name)]}{self.salt.name(path.name)}{path.suffix}"

    def column(self, column: pa.ChunkedArray) -> pa.ChunkedArray | None:
        """A column of texts or lists of texts without them; None where nothing changes."""
        kind = column.type
        if not pa.types.is_string(kind) and not (pa.types.is_list(kind) and pa.types.is_string(kind.value_type)):
            return None
        values = column if pa.types.is_string(kind) else pc.list_flatten(column)
        changed = {each: self.text(each) for each in values.unique().to_pylist() if each is not None}
        changed = {old: new for old, new in changed.items() if new is not old}
        if not changed:
            return None
        return pa.chunked_array([pa.array(_replaced(column.to_pylist(), changed), kind)])


def _replaced(values: Iterable[str | list[str | None] | None], changed: Mapping[str, str]) -> list[object]:
    return [
        [changed.get(part, part) if part else part for part in each]
        if isinstance(each, list)
        else (changed.get(each, each) if each else each)
        for each in values
    ]
