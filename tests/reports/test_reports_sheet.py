"""The sample sheet of a run: kept and rejected samples, their pictures, and how large it gets."""

import re
from base64 import b64decode
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tasks.images.decode import decode_rgb
from tasks.images.sheet import encode_png
from tasks.reports.build_facts import BuildFacts
from tasks.reports.drawn import Sheet
from tasks.reports.examples import Examples
from tasks.reports.page import report_page
from tasks.reports.pictures import small_picture
from tasks.reports.sheet import sheet_markdown
from tests.reports.made_builds import JudgeConfig, build, store_in


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> BuildFacts:
    return build(store_in(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def examples(made: BuildFacts) -> Examples:
    return Examples.of(made)


def pictures(markdown: str) -> list[tuple[int, int]]:
    """Width and height of every picture."""
    found = re.findall(r"!\[[^\n]*\]\(data:image/jpeg;base64,([A-Za-z0-9+/=]+)\)", markdown)
    return [Image.open(BytesIO(b64decode(each))).size for each in found]


def test_kept_and_rejected_samples_stand_there_with_their_pictures(made: BuildFacts, examples: Examples) -> None:
    told = sheet_markdown(made, examples)
    assert told.startswith(f"**32 samples kept** by sample {made.digest[:12]}.\n")
    kept, low = pictures(told)
    assert (kept[0], low[0]) == (6 * (176 + 8) + 8, 5 * (176 + 8) + 8)  # the sixth is no picture
    assert kept[1] > 1.5 * low[1]
    assert "### judge: person_score_low, 8\n" in told
    rejected = told.split("### judge")[1]
    assert len(re.findall(r"^\d\. scores 0\.\d\d, 0\.2 is asked for · web/n00\d\d$", rejected, re.MULTILINE)) == 6


def test_texts_of_others_stay_text(made: BuildFacts, examples: Examples) -> None:
    malformed = sheet_markdown(made, examples).split("### offer: url_malformed, 2\n")[1].split("###")[0]
    assert "1. \\</td\\>\\<script\\>alert(1)\\</script\\> · web/line-" in malformed
    assert "](" not in malformed


def test_a_flow_that_draws_its_samples_has_these_instead(made: BuildFacts, examples: Examples) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 1100, 3), dtype=np.uint8)
    drawn = replace(examples, sheets=(Sheet("Drawn | twice", noise), Sheet("Once more", noise)))
    told = sheet_markdown(made, drawn)
    assert told.count("### Drawn \\| twice\n") == told.count("### Once more\n") == 1
    assert "Some of them" not in told
    assert len(pictures(told)) == 3
    assert len(told.encode()) < 4 / 3 * 600_000 + 4 / 3 * 60_000 + 5_000
    page = report_page(made, drawn)
    assert "<h3>Drawn | twice</h3>" in page
    assert 'alt="Once more"' in page


def test_reasons_that_do_not_fit_are_said_to_be_missing(made: BuildFacts, examples: Examples) -> None:
    whole = sheet_markdown(made, examples)
    least = len(whole.encode()) - 1
    cut = sheet_markdown(made, examples, least)
    assert len(cut.encode()) <= least
    assert "person_score_low" not in cut
    assert "url_malformed" in cut
    assert cut.endswith("the page of the build tells of it.\n")


def test_a_build_without_rows_and_one_without_rejects_say_so(made: BuildFacts, examples: Examples) -> None:
    nothing = build(made.store, judged=JudgeConfig(threshold=9.0), flow="nothing")
    assert sheet_markdown(nothing, Examples.of(nothing)).startswith("**0 samples kept**")
    assert "Nothing was rejected." in sheet_markdown(made, replace(examples, rejected=()))


def test_the_box_of_a_person_is_drawn_where_it_is() -> None:
    photo = encode_png(np.full((400, 300, 3), 255, np.uint8))
    plain, boxed = (
        decode_rgb(b64decode(small_picture(photo, 200, box).partition(",")[2])).astype(int)
        for box in ((), (100, 200, 200, 300))
    )
    assert plain.min() > 250
    red = boxed[..., 0] - boxed[..., 1] > 80
    rows, columns = np.nonzero(red)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx((100, 150, 50, 100), abs=2)
    assert not red[110:140, 60:90].any()
