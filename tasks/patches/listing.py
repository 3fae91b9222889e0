"""The films that a configuration of `video_patches` means: those that it names, and those that lie in its folders."""

from pathlib import Path

from tasks.patches.config import FilmFolder, FilmSource, VideoPatchesForm
from tasks.patches.config_faults import EXTENSIONS, contradictions
from tasks.schema.errors import ConfigError, SourceError


def with_films_listed(config: VideoPatchesForm) -> VideoPatchesForm:
    """The same with the films that lie in its folders now among its films, and no folders.

    A film in a folder is named by its path below it, without the ending. One that `films` names keeps its entry there,
    one in several folders counts in the first.

    Raises:
        SourceError: a folder is not there, or holds no film: its disk may not be mounted.
        ConfigError: two films would go by one name.
    """
    films = {film.path: film for film in config.films}
    for folder in config.folders:
        for path in _films_below(Path(folder.path)):
            films.setdefault(str(path), _film(path, folder))
    listed = config.model_copy(update={"films": tuple(films.values()), "folders": ()})
    faults = contradictions(listed.model_dump())
    if faults:
        told = "; ".join(said for _, said in faults)
        raise ConfigError(f"Films in folders: {told}. Rename one, or name it in `films`.")
    return listed


def _film(path: Path, folder: FilmFolder) -> FilmSource:
    name = path.relative_to(folder.path).with_suffix("").as_posix()
    return FilmSource(name=name, path=str(path), categories=folder.categories, licence=folder.licence)


def _films_below(folder: Path) -> list[Path]:
    """By path; what is hidden is left out."""
    if not folder.is_dir():
        raise SourceError(f"There is no folder {folder}. Is it mounted on this machine?")
    try:
        every = [path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file()]
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {error.strerror}.") from error
    films = [path for path in every if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not films:
        raise SourceError(f"{folder} holds no film ({', '.join(sorted(EXTENSIONS))}). Is its disk mounted?")
    return sorted(films)
