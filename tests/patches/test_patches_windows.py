"""The stage that plans the windows of a piece of a film."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.patches.windows import Windows, WindowsConfig, pieces_of, planned_piece
from tasks.schema.films import FILM_SCHEMA, WINDOW_SCHEMA
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason
from tasks.shards.derive import Derivation, realise
from tasks.shards.stage import Stage, StageOutput
from tasks.shards.store import Store
from tests.patches.planned_films import film_row, form, wanted


class FilmConfig(Frozen):
    name: str
    duration_s: float = 60.0
    width: int = 3840
    rows: int = 1


@dataclass(frozen=True)
class OneFilm(Stage):
    """A film that probing found sound."""

    config: FilmConfig
    name: ClassVar[str] = "film"
    version: ClassVar[int] = 1

    @property
    def schema(self) -> pa.Schema:
        return FILM_SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        row = film_row(sample_id=self.config.name, duration_s=self.config.duration_s, width=self.config.width)
        row |= {
            "height": self.config.width * 9 // 16,
            "content": [0, 0, self.config.width, self.config.width * 9 // 16],
        }
        other = dict.fromkeys(("size_bytes", "coded_width", "coded_height", "rotation", "start_pts", "bit_depth"), 8)
        text = dict.fromkeys(("name", "codec", "transfer", "primaries", "matrix", "chroma_location", "digest"), "x")
        flags = dict.fromkeys(("full_range", "interlaced", "vfr"), False)
        whole = {**row, **other, **text, **flags, "time_base": [1, 1000]}
        yield StageOutput(pa.Table.from_pylist([whole] * self.config.rows, schema=FILM_SCHEMA))


def test_pieces_are_shards_of_their_own(tmp_path: Path) -> None:
    store, goal = Store(tmp_path), wanted(windows=200, piece_s=30)
    source = Derivation(OneFilm(FilmConfig(name="avatar")))
    pieces = pieces_of(film_row(duration_s=60.0), goal)
    assert pieces > 1
    records = [
        realise(Derivation(Windows(WindowsConfig(piece=n, wanted=goal)), (source,)), store).record
        for n in range(pieces)
    ]
    tables = [pq.read_table(store.data_path(record)) for record in records]
    assert all(table.schema.equals(WINDOW_SCHEMA) for table in tables)
    ids = [each for table in tables for each in table["sample_id"].to_pylist()]
    assert len(set(ids)) == len(ids) == 200
    assert ids[0] == "avatar/w000000_general"
    for table in tables:
        firsts = [tries[0] for tries in table["tries"].to_pylist()]
        assert firsts == sorted(firsts)
    facts = [record.facts for record in records]
    planned = Counter[str]()
    for fact in facts:
        planned.update({name: sum(formats.values()) for name, formats in fact["planned"].items()})
    assert planned == {"general": 100, "space": 60, "toon": 40}
    assert facts[0]["film"] == {
        "pieces": pieces,
        "windows": 100,
        "categories": {name: {"wanted": n, "planned": n} for name, n in planned.items()},
    }
    assert all(record.rows_in == record.rows_kept == 1 for record in records)


def test_rows_of_several_categories_share_times_but_no_crops() -> None:
    rows = planned_piece(film_row(), WindowsConfig(piece=0, wanted=wanted({"general": 0.5, "space": 0.5}))).kept
    by_window: dict[str, list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        by_window.setdefault(row["sample_id"].rsplit("_", 1)[0], []).append(row)
        assert len(row["tries"]) == len(row["crop_u"]) == len(row["crop_v"]) == 11
        assert all(0 <= each < 1 for each in row["crop_u"] + row["crop_v"])
        assert row["parent_id"] == row["film"] == "avatar"
        assert (row["scaled_width"], row["scaled_height"]) == (1920, 1080)
    for pair in by_window.values():
        assert [row["category"] for row in pair] == ["general", "space"]
        assert pair[0]["tries"] == pair[1]["tries"]
        assert pair[0]["crop_u"] != pair[1]["crop_u"]


def test_a_piece_does_not_change_with_other_films() -> None:
    alone, more = form(), form()
    other = alone.films[0].model_copy(update={"name": "Shrek", "path": "/films/shrek.mkv"})
    more = more.model_copy(update={"films": (other, *more.films)})
    assert alone.wanted(alone.films[0]) == more.wanted(more.films[1])
    stages = [Windows(WindowsConfig(piece=3, wanted=each.wanted(each.films[-1]))) for each in (alone, more)]
    assert stages[0].params() == stages[1].params()


def test_a_letterboxed_film_says_at_which_scale_it_is_cut() -> None:
    row = film_row(content=[0, 277, 3840, 1883])
    output = planned_piece(row, WindowsConfig(piece=0, wanted=wanted({"space": 1.0})))
    scaled = {each["format"]: each["scaled_height"] for each in output.kept.to_pylist()}
    assert scaled["small_540"] == 1080
    assert 1088 <= scaled["xlarge_1440"] <= 1092
    assert 1451 <= scaled["fullhd_1920"] <= 1455
    assert output.facts["redistributed"] == {}


def test_redistribution_is_counted() -> None:
    row = film_row(content=[0, 277, 3840, 1883], duration_s=60.0)
    goal = wanted({"space": 1.0}, 100, misfits="redistribute")
    output = planned_piece(row, WindowsConfig(piece=0, wanted=goal))
    assert output.facts["wanted"] == {"space": {"small_540": 30, "xlarge_1440": 45, "fullhd_1920": 25}}
    assert output.facts["planned"] == {"space": {"small_540": 100, "xlarge_1440": 0, "fullhd_1920": 0}}
    assert output.facts["redistributed"] == {
        "space": {"xlarge_1440": {"small_540": 45}, "fullhd_1920": {"small_540": 25}}
    }
    assert not output.rejected


def test_what_fits_nowhere_is_rejected_window_by_window(tmp_path: Path) -> None:
    goal = wanted({"general": 1.0}, 20)
    source = Derivation(OneFilm(FilmConfig(name="tiny", width=320)))
    store = Store(tmp_path)
    record = realise(Derivation(Windows(WindowsConfig(piece=0, wanted=goal)), (source,)), store).record
    assert record.rejected == {"format_does_not_fit": 1}
    assert record.children_rejected == {"format_does_not_fit": 20}
    assert record.data.rows == 0


def test_a_category_that_fits_nowhere_leaves_the_others() -> None:
    tower = {"name": "tower", "width": 300, "height": 900, "folder": "Patches_Tower"}
    plain = {"name": "plain", "width": 300, "height": 300, "folder": "Patches_Plain"}
    categories = [
        {"name": "tall", "folder": "Tall", "formats": {"tower": 1.0}},
        {"name": "flat", "folder": "Flat", "formats": {"plain": 1.0}},
    ]
    config = form({"tall": 0.5, "flat": 0.5}, 20, categories=categories, formats=[tower, plain])
    row = film_row(width=960, height=540, duration_s=60.0)
    output = planned_piece(row, WindowsConfig(piece=0, wanted=config.wanted(config.films[0])))
    assert output.kept["category"].to_pylist() == ["flat"] * 10
    assert [each.reason for each in output.rejected] == [Reason.FORMAT_DOES_NOT_FIT] * 10
    assert {each.sample_id.rsplit("_", 1)[1] for each in output.rejected} == {"tall"}
    assert "tower is 300x900, the film's picture 960x540" in output.rejected[0].detail


@pytest.mark.parametrize(
    ("duration_s", "said"),
    [(0.25, "it has 6 frames, and a window has 7"), (0.5, "it has 12 frames, and a window has 7; 40% at its start")],
)
def test_a_film_that_is_too_short_is_rejected(duration_s: float, said: str) -> None:
    goal = wanted(skip_start=0.4, skip_end=0.4)
    assert pieces_of(film_row(duration_s=duration_s), goal) == 1
    output = planned_piece(film_row(duration_s=duration_s), WindowsConfig(piece=0, wanted=goal))
    assert output.kept.num_rows == 0
    assert [each.reason for each in output.rejected] == [Reason.FILM_TOO_SHORT]
    assert output.rejected[0].detail.startswith(said)


def test_the_shortest_film_has_one_window() -> None:
    goal = wanted({"general": 1.0})
    output = planned_piece(film_row(duration_s=7 / 24), WindowsConfig(piece=0, wanted=goal))
    assert output.kept["tries"].to_pylist() == [[0.0]]
    assert output.facts["film"]["categories"] == {"general": {"wanted": 3000, "planned": 1}}


def test_a_film_that_nothing_is_wanted_of_says_so() -> None:
    output = planned_piece(film_row(), WindowsConfig(piece=0, wanted=wanted({"general": 0.1}, 1)))
    assert [each.reason for each in output.rejected] == [Reason.OVER_LIMIT]


def test_a_rejected_film_has_no_windows(tmp_path: Path) -> None:
    source = Derivation(OneFilm(FilmConfig(name="none", rows=0)))
    stage = Windows(WindowsConfig(piece=0, wanted=wanted()))
    record = realise(Derivation(stage, (source,)), Store(tmp_path)).record
    assert (record.rows_in, record.data.rows) == (0, 0)


def test_there_is_no_piece_after_the_last() -> None:
    with pytest.raises(ValueError, match="avatar has 1 pieces, there is no 1"):
        planned_piece(film_row(duration_s=1.0), WindowsConfig(piece=1, wanted=wanted()))
