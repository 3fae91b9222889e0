"""The stage of a film: one row, or one reason; the same wherever the film lies."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.schema.errors import SourceError
from tasks.schema.films import FILM_SCHEMA
from tasks.schema.records import ShardRecord
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tasks.video.films import FilmConfig, ProbeFilm, film_digest, film_of_row, film_row
from tests.video.make_film import make_film


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    return make_film(tmp_path_factory.mktemp("films") / "A film.mp4", frames=12)


def derivation(path: Path, digest: str | None = None) -> Derivation:
    told = film_digest(path) if digest is None else digest
    return Derivation(ProbeFilm(FilmConfig(name="a-film", file_name=path.name, digest=told, licence="CC-BY"), path))


def rows(store: Store, record: ShardRecord) -> list[dict]:
    return pq.read_table(store.data_path(record)).to_pylist()


def test_a_film_is_one_row_that_names_no_folder(film, tmp_path):
    store = Store(tmp_path / "store")
    record = realise(derivation(film), store).record
    (row,) = rows(store, record)

    assert (record.rows_in, record.rows_kept, record.rejected) == (1, 1, {})
    assert (row["sample_id"], row["source_uri"], row["licence"]) == ("a-film", "A film.mp4", "CC-BY")
    assert not [value for value in row.values() if str(film.parent) in str(value)]
    found = film_of_row(row, film)
    assert (found.path, found.digest, found.content) == (str(film), film_digest(film), (0, 0, 320, 180))
    assert film_row(found, derivation(film).stage.config) == row


def test_the_same_film_elsewhere_is_found(film, tmp_path):
    store = Store(tmp_path / "store")
    moved = tmp_path / film.name
    shutil.copy(film, moved)

    assert not realise(derivation(film), store).cached
    assert realise(derivation(moved), store).cached


def test_what_is_no_film_is_one_reason(tmp_path):
    store = Store(tmp_path / "store")
    (tmp_path / "film.mkv").write_text("no film")
    record = realise(derivation(tmp_path / "film.mkv"), store).record

    assert (record.rows_in, record.rejected) == (1, {"video_unreadable": 1})
    assert rows(store, record) == []


def test_a_film_that_was_never_there_is_one_reason(tmp_path):
    record = realise(derivation(tmp_path / "film.mkv", ""), Store(tmp_path / "store")).record

    assert record.rejected == {"film_missing": 1}


def test_a_film_that_went_away_or_changed_commits_nothing(film, tmp_path):
    store, copy = Store(tmp_path / "store"), tmp_path / "film.mp4"
    shutil.copy(film, copy)
    before = derivation(copy)
    with copy.open("ab") as growing:
        growing.write(b"more")
    with pytest.raises(SourceError, match="has changed"):
        realise(before, store)
    copy.unlink()
    with pytest.raises(SourceError, match="cannot be read now"):
        realise(before, store)


def test_where_a_film_lies_is_no_part_of_the_key(film, tmp_path):
    stage = derivation(film).stage

    assert str(film) not in str(stage.params())
    assert stage.schema == FILM_SCHEMA
    assert set(stage.execution()) == {"libavcodec", "libavformat", "libavfilter"}


def test_large_films_are_known_by_their_ends_and_a_sample(tmp_path):
    size, digests = (1 << 30) + 12345, []
    for number, (change, at) in enumerate([(b"", 0), (b"x", size - 1), (b"x" * (5 << 20), size // 2)]):
        path = tmp_path / f"{number}.mkv"
        with path.open("wb") as film:
            film.truncate(size)
            film.seek(at)
            film.write(change)
        digests.append(film_digest(path))
    with (tmp_path / "longer.mkv").open("wb") as film:
        film.truncate(size + 1)

    assert len({*digests, film_digest(tmp_path / "longer.mkv")}) == 4


def test_small_films_are_known_by_every_byte(tmp_path):
    for number, byte in enumerate(b"ab"):
        (tmp_path / f"{number}.mkv").write_bytes(bytes(5 << 20) + bytes((byte,)) + bytes(5 << 20))

    assert film_digest(tmp_path / "0.mkv") != film_digest(tmp_path / "1.mkv")
