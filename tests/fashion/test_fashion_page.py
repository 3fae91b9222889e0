"""The report: complete, offline, and nothing in it comes alive."""

from html.parser import HTMLParser
from typing import Any

from tasks.fashion.page import TrendReport, headline, trend_page
from tests.fashion.test_fashion_plots import ROWS, row

FACTS = {"runway_photos": 1200, "street_photos": 900, "classifier": "<c>" * 30, "not_predicted": 2}
HOSTILE = "<img src=x onerror=alert(1)>"


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def read(report: TrendReport) -> Reader:
    reader = Reader()
    reader.feed(trend_page(report))
    return reader


def scoped(scope: str, **more: Any) -> list[dict[str, Any]]:
    return [each | {"scope": scope, "sample_id": f"{scope}{each['label']}"} | more for each in ROWS]


def test_what_it_tells() -> None:
    rejects = [{"stage": "inspect", "reason": "image_unreadable", "detail": HOSTILE}] * 3
    sections = [("Classifier", "<p>macro F1 0.7</p>"), ("Sheet", b"\x89PNG")]
    rows = [*ROWS, *scoped(f"designer={HOSTILE}"), *scoped("season=2024", runway_share=None)]
    page = read(TrendReport(f"Trends {HOSTILE}", rows, FACTS, rejects, sections))
    for said in (
        *("1,200", "runway photos", "Uncorrected.", "top: 60.0 % on the street, 20.0 % on the runway"),
        *("None has enough photos", "macro F1 0.7", "image_unreadable", HOSTILE, "not predicted"),
    ):
        assert said in page.text
    assert not [attrs for tag, attrs in page.tags if tag == "script" or "onerror" in attrs]
    assert all((attrs.get("src") or "data:").startswith("data:") for _, attrs in page.tags)
    assert "script-src" not in str(page.tags)
    assert page.text.count("Numbers") == 1


def test_the_corrected_estimate_leads_where_there_is_one() -> None:
    powered = [each | {"estimate": "powered", "sample_id": f"p{each['label']}"} for each in ROWS]
    page = read(TrendReport("Trends", [*ROWS, *powered], FACTS))
    assert "nobody checked them" not in page.text
    assert "points, powered)" in page.text
    assert "points, uncorrected)" not in page.text


def test_nothing_to_tell() -> None:
    page = read(TrendReport("Trends", [row("top", None, None, q=None)], {}))
    assert "No difference is larger than chance" in page.text
    assert "No photo was rejected" in page.text


def test_a_headline_names_the_side_with_more_first() -> None:
    assert (
        headline(ROWS[1])
        == "dress: 50.0 % on the runway, 30.0 % on the street (difference +13.0 to +27.0 points, uncorrected)"
    )
