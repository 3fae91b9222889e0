"""The stage that finds out what a film is: one shard for each film, with one row or one reason why there is none."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from tasks.schema.errors import SourceError
from tasks.schema.films import FILM_SCHEMA, Film, Transfer
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.stage import Stage, StageOutput
from tasks.video.digest import film_digest
from tasks.video.probe import ProbeError, probe

__all__ = ["FilmConfig", "ProbeFilm", "demand_film", "film_digest", "film_of_row", "film_row"]


class FilmConfig(Frozen):
    """A film as it is known everywhere: its short name, its file's name without folder, the digest of its bytes.

    `digest` is `film_digest` of the file, empty where the file was not there: it is rejected then, and looked for again
    under another key as soon as it has a digest.
    """

    name: str
    file_name: str
    digest: str
    licence: str


@dataclass(frozen=True)
class ProbeFilm(Stage):
    """A film to its row. `path` says where the film lies on this machine, and is no part of the key."""

    config: FilmConfig
    path: Path

    name: ClassVar[str] = "film"
    version: ClassVar[int] = 1

    @property
    def schema(self) -> pa.Schema:
        return FILM_SCHEMA

    def execution(self) -> dict[str, str]:
        import av

        return {name: _version(av.library_versions[name]) for name in ("libavcodec", "libavformat", "libavfilter")}

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:  # noqa: ARG002 - a source has none
        try:
            self._demand_same_film()
            row = film_row(probe(self.path), self.config)
        except ProbeError as error:
            why = Rejection(self.config.name, error.reason, error.detail, source_uri=self.config.file_name)
            yield StageOutput(FILM_SCHEMA.empty_table(), (why,))
        else:
            yield StageOutput(pa.Table.from_pylist([row], schema=FILM_SCHEMA))

    def _demand_same_film(self) -> None:
        """A film that moved or changed after its digest was taken is no property of the film: nothing is committed."""
        try:
            found = film_digest(self.path)
        except OSError as error:
            if not self.config.digest:
                detail = f"There is no film {self.config.file_name} where the configuration says."
                raise ProbeError(Reason.FILM_MISSING, detail) from error
            raise SourceError(
                f"{self.path} was there and cannot be read now ({error.strerror}): is its disk mounted? Run again."
            ) from error
        if found != self.config.digest:
            raise SourceError(f"{self.path} has changed since this run began. Run again when it is complete.")


def film_row(film: Film, config: FilmConfig) -> dict[str, Any]:
    """A film as a row of `FILM_SCHEMA`: the same on every machine."""
    return {
        "sample_id": config.name,
        "parent_id": None,
        "source_uri": config.file_name,
        "licence": config.licence,
        "name": config.name,
        "codec": film.codec,
        "size_bytes": film.size_bytes,
        "width": film.width,
        "height": film.height,
        "coded_width": film.coded_width,
        "coded_height": film.coded_height,
        "rotation": film.rotation,
        "content": list(film.content),
        "fps": [film.fps.numerator, film.fps.denominator],
        "time_base": [film.time_base.numerator, film.time_base.denominator],
        "start_pts": film.start_pts,
        "duration_s": film.duration_s,
        "bit_depth": film.bit_depth,
        "transfer": film.transfer.value,
        "primaries": film.primaries,
        "matrix": film.matrix,
        "full_range": film.full_range,
        "interlaced": film.interlaced,
        "vfr": film.vfr,
        "chroma_location": film.chroma_location,
        "digest": film.digest,
    }


def film_of_row(row: Mapping[str, Any], path: Path) -> Film:
    """A row of `FILM_SCHEMA` as a film that lies at `path`."""
    left, top, right, bottom = row["content"]
    same = (
        *("digest", "size_bytes", "codec", "width", "height", "coded_width", "coded_height", "rotation", "start_pts"),
        *("duration_s", "bit_depth", "primaries", "matrix", "full_range", "interlaced", "vfr"),
        "chroma_location",
    )
    return Film(
        path=str(path),
        content=(left, top, right, bottom),
        fps=Fraction(*row["fps"]),
        time_base=Fraction(*row["time_base"]),
        transfer=Transfer(row["transfer"]),
        **{name: row[name] for name in same},
    )


def _version(parts: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in parts)


def demand_film(film: Film) -> None:
    """Look whether a film is still there; a disk that is gone says nothing about what the film shows.

    Raises:
        SourceError: it is not, or has another size than it had.
    """
    try:
        size = Path(film.path).stat().st_size
    except OSError as error:
        raise SourceError(f"{film.path} cannot be read ({error.strerror}): is its disk mounted? Run again.") from error
    if size != film.size_bytes:
        raise SourceError(f"{film.path} has changed since it was looked at. Run again when it is complete.")
