"""Names go out of sentences, JSON, lists and parameters; everything else stays as it is."""

from json import loads

import pyarrow as pa
import pytest

from tasks.forget.doomed import Doomed
from tasks.forget.scrub import Scrubber
from tasks.shards.tombstones import Salt

SALT = Salt(bytes(32))
SCRUBBER = Scrubber(
    Doomed(
        sample_ids=frozenset({"web/1", "web/1/p0", "film", "clip (1)/a"}),
        roots=frozenset({"web/1", "film", "clip (1)/a"}),
        source_uris=frozenset({"http://a/b.jpg?c=(1,2)", "film.mp4"}),
        digests=frozenset({"d" * 64}),
    ),
    SALT,
)
ONE = SALT.name("web/1")


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("web/1", ONE),
        ("The same bytes as web/1.", f"The same bytes as {ONE}."),
        ("like web/1/p0/f3, not web/10", f"like {ONE}/p0/f3, not web/10"),
        ("web/1/x", f"{ONE}/x"),
        ("looks like clip (1)/a", f"looks like {SALT.name('clip (1)/a')}"),
        ("read from http://a/b.jpg?c=(1,2).", f"read from {SALT.name('http://a/b.jpg?c=(1,2)')}."),
        ('{"like": "web/1", "cosine": 0.5}', f'{{"like": "{ONE}", "cosine": 0.5}}'),
        ("d" * 64, SALT.digest("content", "d" * 64, 32)),
        ("a film of the filmed", "a film of the filmed"),
        ("", ""),
    ],
)
def test_texts(said: str, wanted: str) -> None:
    assert SCRUBBER.text(said) == wanted
    assert SCRUBBER.text(wanted) == wanted


def test_a_text_that_names_nobody_is_the_same_object() -> None:
    for said in ("web/2 is like web/20", '{"like":  "web/2"}', "{no json"):
        assert SCRUBBER.text(said) is said


def test_columns_keep_their_type() -> None:
    lists = pa.chunked_array([pa.array([["web/1", "web/2"], None, []], pa.list_(pa.string()))])
    found = SCRUBBER.column(lists)
    assert found is not None
    assert found.type == lists.type
    assert found.to_pylist() == [[ONE, "web/2"], None, []]
    assert SCRUBBER.column(pa.chunked_array([pa.array(["web/2", None])])) is None
    assert SCRUBBER.column(pa.chunked_array([pa.array([1])])) is None


def test_parameters_lose_what_is_about_it_and_keep_plain_words_elsewhere() -> None:
    said = {
        "films": [{"name": "film", "path": "/data/film.mp4"}, {"name": "other", "path": "/data/other.mp4"}],
        "shown": [{"name": "film", "licence": "CC0"}, {"name": "film", "width": 5}],
        "format": "film",
        "read": [{"digest": "d" * 64, "name": "film", "pieces": 2}],
    }
    found = SCRUBBER.form(said)  # type: ignore[arg-type]
    assert isinstance(found, dict)
    name = SALT.name("film")
    assert found["films"] == [{"name": name, "path": f"/data/{SALT.name('film.mp4')}.mp4"}, said["films"][1]]
    assert found["shown"] == [{"name": name, "licence": "CC0"}, {"name": "film", "width": 5}]
    assert found["format"] == "film"
    assert SCRUBBER.sentence("/data/film.mp4 is not ours.") == f"/data/{SALT.name('film.mp4')}.mp4 is not ours."
    assert found["read"] == [{"digest": SALT.digest("content", "d" * 64, 32), "name": name, "pieces": 2}]


def test_names_in_json_texts_are_found_through_escapes() -> None:
    scrubber = Scrubber(Doomed(frozenset(), frozenset(), frozenset({"http://a/é.jpg"}), frozenset()), SALT)
    assert loads(scrubber.text('{"was": "http://a/\\u00e9.jpg"}')) == {"was": SALT.name("http://a/é.jpg")}
