"""What is made from what, one film at a time.

film -> windows -> patches      one shard of windows and of patches for each piece of a film
  `----------------^
"""

from pathlib import Path

import pyarrow.parquet as pq

from tasks.machine.places import Machine
from tasks.patches.build_plan import DEFAULT_TREE
from tasks.patches.config import FilmSource, VideoPatchesForm
from tasks.patches.cut import Patches, PatchesConfig
from tasks.patches.windows import Windows, WindowsConfig, pieces_of
from tasks.schema.forms import Form
from tasks.schema.home import absolute
from tasks.shards.derive import Derivation
from tasks.video.films import FilmConfig, ProbeFilm

FLOW = "video_patches"
GIGABYTE = 10**9


class FilmRead(Form):
    """A film that was looked at. `digest` is that of its file; one that was rejected has no pieces."""

    source: FilmSource
    digest: str
    pieces: int = 0


def tree_root(config: VideoPatchesForm, machine: Machine) -> Path:
    """Where the patches go: the folder that was asked for, or one in the store."""
    return absolute(config.output, "output") if config.output else machine.store.root / DEFAULT_TREE


def film(source: FilmSource, digest: str) -> Derivation:
    """The one row of a film, or why there is none."""
    path = Path(source.path)
    config = FilmConfig(name=source.short_name, file_name=path.name, digest=digest, licence=source.licence)
    return Derivation(ProbeFilm(config, path))


def count_pieces(source: FilmSource, data: Path, config: VideoPatchesForm) -> int:
    """Into how many pieces a film is cut.

    Args:
        data: the shard of the film.
    """
    rows = pq.read_table(data).to_pylist()
    return sum(pieces_of(row, config.wanted(source)) for row in rows)


def windows(read: FilmRead, piece: int, config: VideoPatchesForm) -> Derivation:
    """The windows of a piece."""
    stage = Windows(WindowsConfig(piece=piece, wanted=config.wanted(read.source)))
    return Derivation(stage, (film(read.source, read.digest),))


def patches(read: FilmRead, piece: int, config: VideoPatchesForm, machine: Machine) -> Derivation:
    """The patches of a piece: its files in the tree, and what they hold."""
    categories = tuple(each for each in config.categories if each.name in read.source.categories)
    used = {name for each in categories for name in each.formats}
    stage = Patches(
        PatchesConfig(
            layout=config.layout,
            stability=config.stability,
            detail=config.detail,
            categories=categories,
            formats=tuple(each for each in config.formats if each.name in used),
        ),
        film_path=Path(read.source.path),
        tree=tree_root(config, machine),
        temporary=absolute(config.machine.temporary, "temporary") if config.machine.temporary else None,
        min_free_bytes=int(config.machine.min_free_gb * GIGABYTE),
    )
    return Derivation(stage, (windows(read, piece, config),), whole=(film(read.source, read.digest),))


def pieces(read: FilmRead, config: VideoPatchesForm, machine: Machine) -> tuple[Derivation, ...]:
    """The patches of all pieces of a film, in the order of time."""
    return tuple(patches(read, piece, config, machine) for piece in range(read.pieces))
