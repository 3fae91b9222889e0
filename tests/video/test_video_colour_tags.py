"""Colour tags: which are followed, and which cannot all be true."""

import pytest

from tasks.schema.films import Transfer
from tasks.video.colour_tags import UNKNOWN, ColourTags, contradiction, told


def tags(transfer=UNKNOWN, primaries=UNKNOWN, matrix=UNKNOWN, full_range=False) -> ColourTags:
    return ColourTags(transfer=transfer, primaries=primaries, matrix=matrix, full_range=full_range)


NONE = tags()
SDR = tags("bt709", "bt709", "bt709")
PQ = tags("smpte2084", "bt2020", "bt2020nc")
HLG = tags("arib-std-b67", "bt2020", "bt2020nc")


@pytest.mark.parametrize(
    ("followed", "kind"),
    [
        (SDR, Transfer.SDR),
        (NONE, Transfer.SDR),
        (tags("smpte170m", "bt470bg", "bt470bg", full_range=True), Transfer.SDR),
        (tags("bt2020-10", "bt2020", "bt2020nc"), Transfer.SDR),
        (PQ, Transfer.PQ),
        (tags("smpte2084"), Transfer.PQ),
        (tags("smpte2084", "smpte432", "bt2020nc"), Transfer.PQ),
        (HLG, Transfer.HLG),
    ],
)
def test_tags_that_are_followed(followed, kind):
    assert contradiction(followed, [followed]) is None
    assert followed.kind is kind


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (tags("smpte2084", "bt709", "bt2020nc"), "PQ light with bt709 primaries"),
        (tags("smpte2084", "bt2020", "bt709"), "PQ light with the matrix bt709"),
        (tags("arib-std-b67", "bt709", "bt709"), "HLG light with bt709 primaries"),
        (tags("smpte2084", "bt2020", "ictcp"), "matrix ictcp"),
        (tags(UNKNOWN, "bt2020", "bt2020nc"), "may be SDR, PQ or HLG"),
        (tags(UNKNOWN, UNKNOWN, "bt2020nc"), "may be SDR, PQ or HLG"),
        (tags("linear", "bt709", "bt709"), "not made for displays"),
        (tags("bt709", "bt709", "ycgco"), "cannot be read here"),
    ],
)
def test_tags_that_cannot_be_followed(wrong, said):
    assert said in str(contradiction(wrong, [wrong]))


def test_tags_that_change_on_the_way():
    assert "change on the way" in str(contradiction(SDR, [SDR, PQ]))


@pytest.mark.parametrize(("container", "frames"), [(SDR, PQ), (PQ, SDR), (HLG, PQ), (tags(matrix="bt709"), PQ)])
def test_container_and_frames_that_disagree(container, frames):
    assert "container declares" in str(contradiction(container, [frames]))


@pytest.mark.parametrize(
    ("container", "frames"),
    [
        (NONE, PQ),
        (PQ, NONE),
        (SDR, tags("smpte170m", "smpte170m", "smpte170m")),
        (tags("bt2020-10", "bt2020", "bt2020nc"), HLG),
    ],
)
def test_container_and_frames_that_agree_enough(container, frames):
    assert contradiction(container, [frames]) is None


def test_the_container_fills_in_what_frames_leave_out():
    assert told(PQ, NONE) == PQ
    assert told(SDR, tags("smpte170m", UNKNOWN, "bt470bg")) == tags("smpte170m", "bt709", "bt470bg")


def test_codes_of_the_standard():
    assert ColourTags.of_codes(16, 9, 9, full_range=False) == PQ
    assert ColourTags.of_codes(2, 2, 2, full_range=False) == NONE
    assert ColourTags.of_codes(99, 0, 3, full_range=False) == NONE
