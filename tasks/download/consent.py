"""Which opt-outs are respected: one policy for all that is fetched from addresses, and what it makes of what was said.

Everything that servers say is recorded with a row, whether or not the policy respects it: a stricter policy leaves rows
out, and a milder one lets them be asked for again, without guessing.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from pydantic import Field

from tasks.download.block_list import BlockList, read_block_list
from tasks.download.hops import Hop, read_hops
from tasks.download.reuse import CRAWLERS, DIRECTIVES, TDM_RESERVATION, header_lines, reserved_by_header, robots_tag
from tasks.schema.errors import ConfigError
from tasks.schema.forms import Form
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason

Kind = Literal["block_list", "robots", "tdm", "header"]

SHOWN_CHARACTERS: Final = 200
"""Of a value that is shown in a sentence."""


class ConsentPolicy(Form):
    """Which opt-outs count, as a person fills it in."""

    directives: tuple[str, ...] = Field(DIRECTIVES, title="Directives", description="Of X-Robots-Tag, that say no.")
    crawlers: tuple[str, ...] = Field(
        CRAWLERS, title="Crawlers", description="Whose X-Robots-Tag counts, besides what is said to everybody."
    )
    robots_txt: bool = Field(True, title="robots.txt", description="As it speaks to our user agent.")
    tdm_reservation: bool = Field(
        True, title="TDM reservation", description="Of text and data mining: the header, and tdmrep.json of the site."
    )
    block_list: str = Field(
        "",
        title="Block list",
        description="Absolute path of a text file: domains, beginnings of URLs, sha256 of files; empty: none.",
    )


class ConsentRules(Frozen):
    """What of a policy decides; `block_list` is the digest of what is blocked."""

    directives: tuple[str, ...] = DIRECTIVES
    crawlers: tuple[str, ...] = CRAWLERS
    robots_txt: bool = True
    tdm_reservation: bool = True
    block_list: str = ""


EVERYTHING: Final = ConsentRules()


@dataclass(frozen=True)
class Consent:
    """The rules, and where the block list lies on this machine."""

    rules: ConsentRules = EVERYTHING
    block_list: str = ""

    @classmethod
    def of(cls, policy: ConsentPolicy, *, respect: bool = True) -> Self:
        """What a policy asks for; without `respect` only the block list counts.

        Raises:
            ConfigError: the block list cannot be read, or has lines that are no rule.
        """
        rules = ConsentRules(
            directives=_words(policy.directives) if respect else (),
            crawlers=_words(policy.crawlers),
            robots_txt=policy.robots_txt and respect,
            tdm_reservation=policy.tdm_reservation and respect,
            block_list=read_block_list(policy.block_list).digest,
        )
        return cls(rules, policy.block_list)

    def judge(self) -> "Judge":
        """Whoever decides by these rules, with the block list as it lies there now.

        Raises:
            ConfigError: the block list is not the one that the rules were made of.
        """
        blocked = read_block_list(self.block_list)
        if blocked.digest != self.rules.block_list:
            raise ConfigError(f"The block list {self.block_list} has changed since this run began: run again.")
        return Judge(self.rules, blocked)


@dataclass(frozen=True)
class Said:
    """All that is known of one URL: the addresses on the way, the headers of the last one, the file's sha256."""

    urls: tuple[str, ...]
    hops: tuple[Hop, ...] = ()
    headers: Mapping[str, str] | None = None
    sha256: str = ""

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Self:
        """Of a kept row: `url`, `final_url`, `reuse`, `headers`, `sha256`."""
        return cls(
            urls=(row["url"], row["final_url"]),
            hops=read_hops(row["reuse"]),
            headers=json.loads(row["headers"]),
            sha256=row["sha256"],
        )

    @classmethod
    def of_evidence(cls, url: str, told: Mapping[str, Any]) -> Self:
        """Of the evidence of a rejection."""
        return cls(
            urls=tuple(each for each in (url, told.get("final_url")) if each),
            hops=read_hops(json.dumps(told.get("reuse", ()))),
            headers=told.get("headers"),
            sha256=told.get("sha256") or "",
        )


@dataclass(frozen=True)
class Objection:
    """Why something is not fetched or not kept: who says so, what as it was written, and the rule that it met."""

    kind: Kind
    by: str
    value: str
    rule: str

    @property
    def reason(self) -> Reason:
        return Reason.BLOCKED if self.kind == "block_list" else Reason.OPTED_OUT

    @property
    def detail(self) -> str:
        if self.kind == "block_list":
            return f"The block list names it: {self.rule[:SHOWN_CHARACTERS]}."
        return f"The server opts out: {self.by}: {self.value[:SHOWN_CHARACTERS]} ({self.rule})."

    def evidence(self) -> dict[str, str]:
        told = {"kind": self.kind, "by": self.by, "value": self.value, "rule": self.rule}
        return {"opt_out": json.dumps(told)}


@dataclass(frozen=True)
class Judge:
    """Decides by rules whose block list was read."""

    rules: ConsentRules
    blocked: BlockList

    def objection(self, said: Said) -> Objection | None:
        """What speaks against a file, the first of it; None: nothing does."""
        return next(self._objections(said), None)

    def _objections(self, said: Said) -> Iterator[Objection]:
        yield from self._blocked(said)
        for hop in said.hops:
            if self.rules.robots_txt and hop.robots.refuses:
                yield Objection("robots", f"robots.txt of {hop.url[:SHOWN_CHARACTERS]}", hop.robots.rule, "disallowed")
            if self.rules.tdm_reservation and hop.tdm.refuses:
                yield Objection("tdm", f"tdmrep.json of {hop.url[:SHOWN_CHARACTERS]}", hop.tdm.rule, TDM_RESERVATION)
        for headers in (*(hop.headers for hop in said.hops), said.headers or {}):
            yield from self._by_headers(header_lines(headers))

    def _blocked(self, said: Said) -> Iterator[Objection]:
        for url in dict.fromkeys((*said.urls, *(hop.url for hop in said.hops))):
            rule = self.blocked.rule_for_url(url)
            if rule is not None:
                yield Objection("block_list", "block list", url, rule)
        rule = self.blocked.rule_for_file(said.sha256)
        if rule is not None:
            yield Objection("block_list", "block list", said.sha256, rule)

    def _by_headers(self, lines: Mapping[str, list[str]]) -> Iterator[Objection]:
        for value in lines.get("x-robots-tag", ()):
            directive = robots_tag(value, self.rules.directives, self.rules.crawlers)
            if directive is not None:
                yield Objection("header", "x-robots-tag", value, directive)
        for value in lines.get("tdm-reservation", ()) if self.rules.tdm_reservation else ():
            if reserved_by_header(value):
                yield Objection("tdm", "tdm-reservation", value, TDM_RESERVATION)


def opt_out_kind(evidence: str | None) -> Kind | None:
    """Which kind of objection a rejection was for; None: its evidence does not say."""
    told = json.loads(evidence).get("opt_out") if evidence else None
    kind: Kind | None = json.loads(told).get("kind") if told else None
    return kind


def _words(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name.strip().lower() for name in names if name.strip()}))
