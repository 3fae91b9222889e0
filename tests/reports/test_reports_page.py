"""The report page: what stands on it, that it needs nothing, and that hostile text stays text."""

import re
from pathlib import Path

import pytest

from tasks.exports.card import build_sections
from tasks.images.decode import DecodeError
from tasks.reports.build_facts import BuildFacts
from tasks.reports.elements import table
from tasks.reports.examples import Examples
from tasks.reports.page import Section, report_page, write_report
from tasks.reports.pictures import Wanted, pictures_of, small_picture
from tasks.schema.errors import StoreError
from tests.golden.dances import VIDEO
from tests.reports.made_builds import FREE, HOSTILE, NON_COMMERCIAL, build, erased, store_in


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> BuildFacts:
    return build(store_in(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def page(made: BuildFacts) -> str:
    controls = Section("Controls", table(("fault", "caught"), [("<swap>", 3)]))
    return report_page(made, Examples.of(made, 5, 3), seconds={"judge": 83.0, "offer": 1.5}, controls=controls)


def section(page: str, title: str) -> str:
    return page.split(f"<h2>{title}</h2>")[1].split("<h2>", maxsplit=1)[0]


def test_a_page_loads_nothing_and_shows_texts_of_others_as_text(page: str) -> None:
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    assert "<script" not in page
    assert "https://example.org/7?<b>" not in page
    assert not re.findall(r'(?:src|href)="(?!data:image/jpeg;base64,)', page)
    assert "&lt;script&gt;alert(1)" in page
    assert "&lt;swap&gt;" in section(page, "Controls")


def test_the_funnel_shows_every_stage_its_reasons_and_its_time(page: str) -> None:
    funnel = section(page, "Funnel")
    for said in ("offer", "judge", "order", "person_score_low 8", "url_malformed 2", "1 min 23 s", "1.5 s"):
        assert said in funnel


def test_rejects_have_the_picture_that_an_earlier_stage_holds_and_samples_that_of_their_parent(page: str) -> None:
    rejected = section(page, "Rejected")
    low = rejected.split("judge: person_score_low, 8")[1]
    assert low.count("<img") == 3 or (low.count("<img") == 2 and "web/n0007" in low)
    malformed = rejected.split("offer: url_malformed, 2")[1].split("<h3>")[0]
    assert "<img" not in malformed
    assert "web/line-0" in malformed
    assert "&lt;u&gt;" in malformed
    samples = section(page, "Samples")
    assert samples.count("<img") == 5
    assert 'data-sample="web/n0008/p0"' in samples


def test_columns_that_tell_nothing_are_left_out(page: str) -> None:
    told = section(page, "Distributions")
    assert re.findall(r"<section><h3>(\w+)</h3>", told) == ["split", "tags", "score", "kind"]


def test_licences_models_and_opt_outs_are_told(page: str) -> None:
    assert "CC-BY-4.0 &lt;i&gt;" in section(page, "Licences")
    outputs = section(page, "Licences").split("<h3>Outputs</h3>")[1]
    rows = {name: line for line in outputs.split("<tr>") for name in ("photos", "people", "dataset") if name in line}
    assert ["non-commercial" in rows[name] for name in ("photos", "people", "dataset")] == [False, True, True]
    assert "Non-commercial use only. Weights that may not be used commercially" in page
    assert NON_COMMERCIAL in page
    assert re.search(r"though it said no</td><td class=\"n\">8<", section(page, "Opt-outs"))
    assert "respected" in section(page, "Opt-outs")


def test_a_card_says_that_weights_are_non_commercial_and_only_then(made: BuildFacts, tmp_path: Path) -> None:
    marked = "\n".join(build_sections(made.manifest))
    assert "## Non-commercial use only" in marked
    assert f"{NON_COMMERCIAL} | MIT, non-commercial |" in marked
    free = build(store_in(tmp_path), model=FREE)
    assert "on-commercial" not in "\n".join(build_sections(free.manifest))


def test_rows_that_were_erased_are_told_and_opt_outs_that_were_switched_off(tmp_path: Path) -> None:
    found = erased(build(store_in(tmp_path), respect=False), "offer")
    page = report_page(found, Examples.of(found))
    assert "40 rows of the build were erased or are lost" in page
    assert "<img" not in page
    assert "switched off" in section(page, "Opt-outs")
    assert "web/n0008/p0" in section(page, "Samples")
    path = write_report(found, page)
    assert path.read_text() == page
    assert path.is_relative_to(found.store.root / "reports" / "sample")
    assert not list(found.store.tmp.glob("*"))


def test_parameters_are_escaped(page: str) -> None:
    assert HOSTILE not in page


def test_a_shard_that_does_not_read_is_told_with_what_to_do(tmp_path: Path) -> None:
    found = build(store_in(tmp_path))
    (path,) = found.paths("order")
    path.write_bytes(b"no parquet" * 100)
    with pytest.raises(StoreError, match="verify --drop-damaged"):
        Examples.of(found)


def test_pictures_stay_within_their_bytes_and_a_clip_shows_its_first_frame(made: BuildFacts) -> None:
    wanted = [Wanted(f"web/n{number:04d}/p0") for number in (10, 11, 12)]
    whole = pictures_of(made, wanted)
    assert list(whole) == wanted
    assert list(pictures_of(made, wanted, most_bytes=len(whole[wanted[0]]) + 1)) == wanted[:1]
    assert small_picture(VIDEO.read_bytes(), 32).startswith("data:image/jpeg;base64,")
    with pytest.raises(DecodeError):
        small_picture(VIDEO.read_bytes()[:60], 32)
