import pytest

from tasks.ingest.mannequin_poses import POSES
from tasks.poses import words
from tasks.poses.captions import cloth_words, garment_family, gender, scene, speaks_of_sport

SPORT = (
    "person playing basketball",
    "A man riding a wave on a surfboard.",
    "a baseball player in a baseball cap swings at a ball",
    "a woman running in running shoes",
    "two girls doing yoga on yoga mats",
    "a boy swimming in a swimming pool",
    "SOCCER!",
    "a skateboarder jumps",
    "a couple playing\n tennis",
    "a guy snowboarding down a slope",
    "a boy running down the street",
    "men playing a game of frisbee in the park",
)
NOT_SPORT = (
    "a man in public transport",
    "passport photo of a woman",
    "a woman in a sports bra",
    "man in a sport coat and tie",
    "a lady in court dress",
    "a man wearing a baseball cap and tennis shoes",
    "girl in yoga pants drinking coffee",
    "running shoes on a shelf",
    "a red skater dress",
    "a woman beside a swimming pool",
    "a parked sports car",
    "a boxer dog on a couch",
    "a woman surfing the internet",
    "man running late for work",
    "jumpsuit with a stripe running down the leg",
    "a chef with pancake batter",
    "",
    None,
)


@pytest.mark.parametrize("caption", SPORT)
def test_captions_that_speak_of_sport(caption: str) -> None:
    assert speaks_of_sport(caption)
    assert scene(caption) == "sports"


@pytest.mark.parametrize("caption", NOT_SPORT)
def test_captions_that_only_sound_like_sport(caption: str | None) -> None:
    assert not speaks_of_sport(caption)
    assert scene(caption) != "sports"


def test_captions_of_mannequins_that_promise_sport_speak_of_it() -> None:
    spoken = {p.name for p in POSES if speaks_of_sport(f"a wooden mannequin {p.words}")}
    assert spoken == {"running", "jumping", "warrior", "lunging", "kicking", "throwing"}


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a woman standing on a city street", "urban"),
        ("a man on the beach near the ocean", "outdoor"),
        ("a girl sitting on a couch in a living room", "indoor"),
        ("a man in a suit", "general"),
        ("people on a sidewalk under a tree", "urban"),
        ("a woman lying in the grass under a tree beside a building", "outdoor"),
        ("a man at a parking lot", "urban"),
        ("a man in a parka", "general"),
        (None, "general"),
    ],
)
def test_scenes(caption: str | None, expected: str) -> None:
    assert scene(caption) == expected


@pytest.mark.parametrize(
    ("source", "caption", "expected"),
    [
        ("WOMEN", None, "female"),
        ("MEN", "a woman", "male"),
        ("Women", None, "female"),
        ("male", None, "male"),
        ("unisex", None, "unisex"),
        ("MEN-Denim", None, "male"),
        ("", "a man in a hat", "male"),
        ("?", "a lady with an umbrella", "female"),
        (None, "a man and a woman", None),
        (None, "a person in her kitchen", "female"),
        (None, "a man and his dog", "male"),
        (None, "a woman and his dog", "female"),
        (None, "a woman in boyfriend jeans and a men's shirt", "female"),
        (None, "a men's shirt", None),
        (None, "a mannequin, human, manager", None),
        (None, "somebody", None),
        (None, None, None),
    ],
)
def test_gender(source: str | None, caption: str | None, expected: str | None) -> None:
    assert gender(source, caption) == expected


def test_cloth_words_are_families() -> None:
    assert cloth_words("Tees_Tanks", None) == ("shirt",)
    assert cloth_words("Jackets_Coats", "a woman with a hat and sunglasses") == ("jacket", "hat", "glasses")
    assert cloth_words(None, "a dresser in a stopped car") == ()
    assert garment_family("Denim") == "pants"
    assert garment_family("Rompers_Jumpsuits") == "dress"
    assert garment_family(None) is None


def test_tables_are_lower_case_and_without_repeats() -> None:
    for name in ("SPORT", "NOT_SPORT", "URBAN", "OUTDOOR", "INDOOR", "FEMALE", "MALE", "HOLDING", "WEARING"):
        table = getattr(words, name)
        assert len(set(table)) == len(table), name
        assert all(word == word.lower().strip() for word in table), name
