"""robots.txt and tdmrep.json: groups, the longest rule, any bytes."""

import json
import re
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.download.robots import MOST_BYTES, Robots, agent_token, parse_robots
from tasks.download.site_paths import matches, path_of, pattern_of
from tasks.download.tdmrep import parse_tdmrep

OURS = "mannequinbot"


def allowed(robots: Robots, url: str) -> bool:
    rule = robots.rule_for(path_of(urlsplit(url)))
    return rule is None or rule.allow


def may(text: str, path: str, token: str = OURS) -> bool:
    return allowed(parse_robots(text.encode(), token), f"https://example.org{path}")


EVERYBODY = "User-agent: *\nDisallow: /\n"


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("", "/a", True),
        (EVERYBODY, "/a", False),
        ("user-AGENT : MannequinBot/0.1\ndisALLOW : /a # why\n", "/a", False),
        ("User-agent: mannequinbot\nDisallow:\n" + EVERYBODY, "/a", True),
        (EVERYBODY + "User-agent: mannequinbot\n", "/a", True),
        ("User-agent: otherbot\nUser-agent: MANNEQUINBOT\nDisallow: /a\n", "/a", False),
        ("User-agent: mannequinbot\nDisallow: /a\n\nUser-agent: x\nDisallow: /b\n", "/b", True),
        ("User-agent: mannequinbot\nDisallow: /a\nUser-agent: x\nUser-agent: mannequinbot\nDisallow: /b", "/b", False),
        ("User-agent: mannequin\nDisallow: /\n", "/a", True),
        ("Disallow: /\n", "/a", True),
        ("User-agent: *\nSitemap: https://x/\nDisallow: /a\n", "/a", False),
        ("User-agent: *\rDisallow: /a\r", "/a/b", False),
        ("\ufeffUser-agent: *\nDisallow: /a\n", "/a", False),
        ("User-agent: *\nDisallow: /a\nAllow: /a/b\n", "/a/b/c", True),
        ("User-agent: *\nDisallow: /a\nAllow: /a\n", "/a", True),
        ("User-agent: *\nAllow: /p\nDisallow: /\n", "/page", True),
        ("User-agent: *\nAllow: /page\nDisallow: /*.htm\n", "/page.htm", False),
        ("User-agent: *\nAllow: /$\nDisallow: /\n", "/", True),
        ("User-agent: *\nAllow: /$\nDisallow: /\n", "/page.htm", False),
        ("User-agent: *\nDisallow: /*.gif$\n", "/a/b.gif", False),
        ("User-agent: *\nDisallow: /*.gif$\n", "/a/b.gif?c", True),
        ("User-agent: *\nDisallow: /a?q=\n", "/a?q=1", False),
        ("User-agent: *\nDisallow: /path/%62%61%7A\n", "/path/baz", False),
        ("User-agent: *\nDisallow: /a%2fb\n", "/a/b", True),
        ("User-agent: *\nDisallow: /ツ\n", "/%E3%83%84", False),
        ("User-agent: *\nDisallow: /%e3%83%84\n", "/ツ", False),
        ("User-agent: *\nDisallow: /a%2Ab\n", "/a*b", False),
        ("User-agent: *\nDisallow: /a b\n", "/a%20b", False),
        ("<!doctype html><html>", "/a", True),
    ],
)
def test_rules_of_the_standard(text: str, path: str, expected: bool) -> None:
    assert may(text, path) is expected


def test_the_line_that_decides_is_known() -> None:
    rule = parse_robots(b"User-agent: *\n  Disallow: /private # ours\n", OURS).rule_for("/private/a")
    assert rule is not None
    assert (rule.allow, rule.line) == (False, "Disallow: /private # ours")


def test_what_comes_after_the_limit_is_passed_over() -> None:
    filled = b"User-agent: *\n" + b"# fill\n" * (MOST_BYTES // 7)
    assert parse_robots(filled + b"Disallow: /\n", OURS) == Robots()


@pytest.mark.parametrize(
    ("agent", "token"), [("MannequinBot/0.1 (+x)", OURS), ("a-b_c 2", "a-b_c"), ("", "*"), ("1x", "*")]
)
def test_what_robots_call_us(agent: str, token: str) -> None:
    assert agent_token(agent) == token


PIECES = st.text(st.sampled_from("ab/*$%2é "), max_size=12)


@given(PIECES, PIECES)
@settings(max_examples=100)
def test_patterns_mean_what_an_expression_means(pattern: str, path: str) -> None:
    written, asked = pattern_of(f"/{pattern}"), path_of(urlsplit(f"https://example.org/{quote(path, safe='/')}"))
    body = written.removesuffix("$")
    expected = ".*".join(re.escape(part) for part in body.split("*")) + ("$" if written.endswith("$") else "")
    assert matches(written, asked) is (re.match(expected, asked) is not None)


LINES = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            [b"User-agent: *", b"user-agent: MannequinBot", b"Disallow: /a", b"Allow: /a*b$", b"\xff:\x00"]
        ),
    )
)


@given(LINES.map(b"\n".join), st.text(max_size=20))
@settings(max_examples=50)
def test_any_bytes_are_rules(data: bytes, path: str) -> None:
    robots = parse_robots(data, OURS)
    place = urlsplit("https://example.org/")._replace(path=path)
    assert allowed(robots, place.geturl()) in (True, False)
    assert [len(rule.pattern) for rule in robots.rules] == sorted(
        (len(rule.pattern) for rule in robots.rules), reverse=True
    )


def test_a_hostile_pattern_takes_no_time() -> None:
    assert not matches(pattern_of("/" + "*a" * 50_000 + "$"), "/" + "a" * 5_000 + "b")


RULES = [
    {"location": "/closed/*", "tdm-reservation": 1, "tdm-policy": "https://example.org/policy.json"},
    {"location": "/open", "tdm-reservation": 0},
    {"location": "/also$", "tdm-reservation": "1"},
    {"location": 5, "tdm-reservation": 1},
    "no rule",
]


@pytest.mark.parametrize(
    ("path", "reserved"), [("/closed/a", True), ("/open/a", False), ("/also", True), ("/alsop", False), ("/", False)]
)
def test_reservations_of_a_site(path: str, reserved: bool) -> None:
    assert (parse_tdmrep(json.dumps(RULES).encode()).rule_for(path) is not None) is reserved


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["location", "tdm-reservation", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.binary(max_size=40) | JSON.map(lambda said: json.dumps(said).encode()))
@settings(max_examples=50)
def test_any_bytes_are_reservations(data: bytes) -> None:
    assert parse_tdmrep(data).rule_for("/") is None or b"location" in data


def test_a_deep_file_reserves_nothing() -> None:
    assert parse_tdmrep(b"[" * 200_000).patterns == ()
