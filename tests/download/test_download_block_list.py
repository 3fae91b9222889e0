"""The block list: domains with all below them, beginnings of URLs, digests; what is no rule is named by its line."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.download.block_list import NOTHING_BLOCKED, parse_block_list, read_block_list
from tasks.schema.errors import ConfigError

DIGEST = "ab" * 32
LIST = f"""\ufeff# agreed in March
example.org          # and all below it
bücher.example
https://photos.example/user/7?x
http://photos.example:8080/
203.0.113.9
{DIGEST.upper()}
"""


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://example.org/a", "example.org"),
        ("https://A.B.EXAMPLE.ORG./a", "example.org"),
        ("https://user@example.org:81/a", "example.org"),
        ("https://badexample.org/", None),
        ("https://example.org.evil/", None),
        ("http://xn--bcher-kva.example/a", "xn--bcher-kva.example"),
        ("http://photos.example/user/7?x=1", "photos.example/user/7?x"),
        ("http://photos.example/%75ser/7?x", "photos.example/user/7?x"),
        ("http://photos.example/user/8", None),
        ("http://photos.example:8080/anything", "photos.example:8080/"),
        ("https://photos.example:8081/anything", None),
        ("http://203.0.113.9/a", "203.0.113.9"),
        ("no url", None),
    ],
)
def test_urls(url: str, rule: str | None) -> None:
    assert parse_block_list(LIST.encode(), "list").rule_for_url(url) == rule


def test_files() -> None:
    blocked = parse_block_list(LIST.encode(), "list")
    assert blocked.rule_for_file(DIGEST) == DIGEST
    assert blocked.rule_for_file("cd" * 32) is blocked.rule_for_file("") is None


def test_lines_that_are_no_rule_are_named() -> None:
    with pytest.raises(ConfigError, match=r"line 2: .*line 4: .*line 5: .*line 6: ") as error:
        parse_block_list(b"ok.example\na b.example\n\nftp://a/\nexample.org/path\n\xff\n0.0.0.0 ads.example", "list")
    assert "line 7" in str(error.value)


def test_the_digest_is_of_what_is_blocked() -> None:
    one = parse_block_list(b"a.example # why\nb.example\n", "list")
    assert one.digest == parse_block_list(b"b.example\r\n\r\nA.example", "other").digest
    assert one.digest != parse_block_list(b"a.example", "list").digest
    assert parse_block_list(b"# nothing\n", "list").digest == NOTHING_BLOCKED.digest == ""


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "block.txt"
    path.write_text("a.example\n")
    assert read_block_list(str(path)).rule_for_url("https://a.example/")
    path.write_text("longer.example\n")
    assert not read_block_list(str(path)).rule_for_url("https://a.example/")
    assert read_block_list("") is NOTHING_BLOCKED
    with pytest.raises(ConfigError, match="cannot be read"):
        read_block_list(str(tmp_path / "none.txt"))
    with pytest.raises(ConfigError, match="not absolute"):
        read_block_list("block.txt")


@given(st.lists(st.binary(max_size=30) | st.text(max_size=30).map(str.encode)).map(b"\n".join))
@settings(max_examples=50)
def test_any_bytes_are_rules_or_an_error(data: bytes) -> None:
    try:
        blocked = parse_block_list(data, "list")
    except ConfigError as error:
        assert "line " in str(error)  # noqa: PT017 - either is right
    else:
        assert (blocked == NOTHING_BLOCKED) is (blocked.digest == "")
        for domain in blocked.domains:
            assert blocked.rule_for_url(f"http://{f'[{domain}]' if ':' in domain else domain}/") is not None
