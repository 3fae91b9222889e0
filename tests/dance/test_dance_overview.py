"""Pages on a dataset: complete, harmless whatever texts are in the rows, and without the network."""

from html.parser import HTMLParser

import pytest

from tasks.dance.overview import Overview, SampleView, facts_of, overview_page, posters_sheet
from tests.dance.face_clips import a_pose_row, shows
from tests.dance.pose_clips import a_clip, a_music_row

FRAMES = 3
EVIL = "<script>alert('&')</script>|`x`"


@pytest.fixture(scope="module")
def clip() -> bytes:
    return a_clip(shows() for _ in range(FRAMES))


def a_view(clip: bytes, number: int = 0, **changes) -> SampleView:
    names = {"sample_id": f"v/c{number:03}", "parent_id": "v", "source_uri": EVIL, "licence": "CC0-1.0"}
    reference = {
        "reference_frame": 1, "face_score": 0.9, "sharpness": 0.51, "frontality": 0.8, "embedding_model": "tiny",
        "embedding_missing": None,
    }  # fmt: skip
    audit = {"score": 0.87, "confident_share": 0.5, "jumps": 2, "sound_offset_s": -0.0011, "findings": [EVIL]}
    sample = {**names, "split": "train", "group": "g1", "song_group": "s1", "person_group": "p1"}
    return SampleView(
        cut={**names, "frames": FRAMES, "clip": {"bytes": clip, "path": "c.mp4"}},
        music=a_music_row(FRAMES, beats_s=[0.05]),
        poses=a_pose_row(FRAMES),
        reference={**reference, **changes},
        audit=audit,
        sample=sample,
    )


REJECTS = [
    {"stage": "poses", "reason": "dancer_lost", "detail": EVIL},
    {"stage": "cut_clips", "reason": "sound_silent", "detail": "it is silent"},
    {"stage": "poses", "reason": "dancer_lost", "detail": "another"},
]
OVERVIEW = Overview(EVIL, {"clips": 1200, "train": 1}, REJECTS)


class Page(HTMLParser):
    """Tags, addresses, and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def test_the_page_shows_every_sample_and_loads_nothing(clip):
    page = Page(overview_page(OVERVIEW, (a_view(clip, k) for k in range(2))))
    assert not page.open
    assert page.tags.count("article") == page.tags.count("img") == 2
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
    assert "script" not in page.tags
    assert page.text.count(EVIL) == 2 + 1 + 2 * 2
    for said in ("v/c001", "0.87", "120.0 BPM, 1 beats", "-1 ms", "50% confident of 18", "1,200", "sound_silent"):
        assert said in page.text


def test_reasons_are_counted_the_most_frequent_first():
    assert OVERVIEW.reasons() == [
        ("poses", "dancer_lost", 2, EVIL),
        ("cut_clips", "sound_silent", 1, "it is silent"),
    ]


def test_a_clip_that_does_not_decode_leaves_the_others(clip):
    page = Page(overview_page(Overview("x", {}), [a_view(b"no video"), a_view(clip, 1)]))
    assert page.tags.count("article") == 2
    assert page.tags.count("img") == 1
    assert "The clip does not decode." in page.text
    assert "Nothing." in page.text


def test_missing_faces_are_said(clip):
    facts = dict(facts_of(a_view(clip, face_score=None, embedding_missing="no face; the sharpest frame stands in")))
    assert facts["face"] == "none"
    assert facts["embedding"] == "none: no face; the sharpest frame stands in"


def test_the_sheet_has_a_poster_of_every_clip(clip):
    sheet = posters_sheet([a_view(clip, 0), a_view(b"no video"), a_view(clip, 1)])
    one = posters_sheet([a_view(clip, 0)])
    assert sheet.shape[1] == 1096
    assert (sheet[: one.shape[0] // 2, : one.shape[1] // 2] == one[: one.shape[0] // 2, : one.shape[1] // 2]).all()
    assert (sheet == 226).all(axis=2).sum() > 536 * 268 * 0.99 > (one == 226).all(axis=2).sum()
