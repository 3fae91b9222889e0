"""robots.txt as RFC 9309 defines it: the groups for our agent, the longest rule that covers a path."""

import re
from dataclasses import dataclass
from typing import Final

from tasks.download.site_paths import matches, pattern_of

MOST_BYTES: Final = 500 << 10
"""What is read of a robots.txt; RFC 9309, 2.5, asks for at least that."""

LINE_CHARACTERS: Final = 200
"""Of a rule that is shown as evidence."""

EVERYBODY: Final = "*"

_TOKEN = re.compile(r"[A-Za-z_-]+")


@dataclass(frozen=True)
class RobotsRule:
    """One line: `pattern` in the form of `pattern_of`, `line` as it was written."""

    allow: bool
    pattern: str
    line: str


@dataclass(frozen=True)
class Robots:
    """The rules of a robots.txt for one agent, the longest pattern first, Allow before Disallow of one length."""

    rules: tuple[RobotsRule, ...] = ()

    def rule_for(self, path: str) -> RobotsRule | None:
        """The rule that decides on a path (of `path_of`); None: none covers it, so it may be asked for."""
        return next((rule for rule in self.rules if matches(rule.pattern, path)), None)


def agent_token(user_agent: str) -> str:
    """The product token of a user agent, in lower case: what robots.txt calls us."""
    found = _TOKEN.match(user_agent)
    return found.group().lower() if found else EVERYBODY


def parse_robots(data: bytes, token: str) -> Robots:
    """The rules for an agent: of all groups that name it, or of those for everybody where none does.

    Args:
        data: any bytes; what is no rule is passed over, and so is what comes after `MOST_BYTES`.
        token: of `agent_token`.
    """
    text = data[:MOST_BYTES].decode("utf-8", "replace").removeprefix("\ufeff")
    groups: dict[str, list[RobotsRule]] = {}
    named: list[str] = []
    naming = False
    for line in re.split(r"\r\n|\r|\n", text):
        key, colon, value = (part.strip() for part in line.partition("#")[0].partition(":"))
        key = key.lower()
        if not colon:
            continue
        if key == "user-agent":
            named = [*named, _agent(value)] if naming else [_agent(value)]
            naming = True
            groups.setdefault(named[-1], [])
        elif key in ("allow", "disallow"):
            naming = False
            if value:
                rule = RobotsRule(key == "allow", pattern_of(value), line.strip()[:LINE_CHARACTERS])
                for agent in dict.fromkeys(named):
                    groups[agent].append(rule)
    rules = groups.get(token, groups.get(EVERYBODY, []))
    return Robots(tuple(sorted(rules, key=lambda rule: (-len(rule.pattern), not rule.allow))))


def _agent(value: str) -> str:
    if value.startswith(EVERYBODY):
        return EVERYBODY
    found = _TOKEN.match(value)
    return found.group().lower() if found else ""
