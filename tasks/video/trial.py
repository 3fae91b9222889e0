"""Films for which a process may have died: a child process decodes first, and what it does not survive is refused."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from tasks.images.decode import DecodeError
from tasks.images.isolate import MEMORY_BYTES, Isolated, fatal
from tasks.schema.errors import MannequinError
from tasks.schema.films import Film
from tasks.schema.rejections import Reason
from tasks.video.films import FilmConfig, film_of_row, film_row
from tasks.video.frames import WINDOW_TIMEOUT_S, Frames, WindowError, WindowReader
from tasks.video.probe import ProbeError

if TYPE_CHECKING:
    from types import TracebackType

TRIAL_START_S: Final = 300.0
TRIAL_SECONDS: Final = 10.0
"""For each second of a film. UHD HEVC of 10 bit takes one core about 2 s."""
TRIAL_SILENCE_S: Final = TRIAL_START_S
"""Between two packets."""


def demand_survivors(decode: Callable[..., Any], film: Film, path: Path, **options: Any) -> None:
    """Let a child process decode a film.

    Args:
        decode: takes no bytes, then `path`, `row` (of the film) and `options` by name; raises nothing.
        film: what probing found out.
        path: where it lies now.
        options: JSON.
    Raises:
        ProbeError: no child survives it, it takes longer than `TRIAL_SECONDS` for each second of the film, or than
            `TRIAL_SILENCE_S` for one packet.
    """
    said = {"path": str(path), "row": _row(film), **options}
    died = fatal(decode, said, TRIAL_START_S + TRIAL_SECONDS * film.duration_s, TRIAL_SILENCE_S)
    if died is not None:
        raise ProbeError(*_of_film(died, path.name))


class CautiousReader:
    """Reads windows of a film as `WindowReader` does, each afresh, and after a child process has read it.

    Args:
        film: what probing found out.
        path: where it lies now.
        timeout_s: for one window.
    """

    def __init__(self, film: Film, path: Path, *, timeout_s: float = WINDOW_TIMEOUT_S) -> None:
        self._film, self._path = film, path
        self._child = Isolated(read_window, {"path": str(path), "row": _row(film)}, timeout_s, 2 * MEMORY_BYTES)

    def __enter__(self) -> Self:
        self._child.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        self._child.__exit__(kind, error, trace)

    def window(self, time_s: float) -> Frames:
        """As `WindowReader.window`.

        Raises:
            WindowError: also where no child process survives it.
        """
        answer = self._child.map([b""], [{"time_s": time_s}])[0]
        if isinstance(answer, DecodeError):
            raise WindowError(*_of_film(answer, f"The window at {time_s:.3f} s"))
        with WindowReader(self._film, self._path) as reader:
            return reader.window(time_s)


def read_window(_: bytes, path: str, row: dict[str, Any], time_s: float) -> bool:
    """Read a window in a child process: whether it is one."""
    film = Path(path)
    with suppress(MannequinError), WindowReader(film_of_row(row, film), film) as reader:
        reader.window(time_s)
        return True
    return False


def _row(film: Film) -> dict[str, Any]:
    return film_row(film, FilmConfig(name="", file_name="", digest=film.digest, licence=""))


def _of_film(died: DecodeError, subject: str) -> tuple[Reason, str]:
    if died.reason is Reason.IMAGE_BOMB:
        return Reason.VIDEO_BOMB, f"{subject} takes more memory than a film may."
    return died.reason, f"{subject}: {died.detail}."
