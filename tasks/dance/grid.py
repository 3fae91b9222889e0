"""The frames of clips on a video's clock: `CLIP_FPS` a second from its first picture on, each the last that began.

Containers round timestamps, mostly to milliseconds: a picture counts as begun up to one early.
"""

from fractions import Fraction
from math import ceil, floor

from tasks.schema.clips import CLIP_FPS
from tasks.schema.films import Film
from tasks.video.timing import JITTER_S


def grid_frames(film: Film) -> int:
    """Frames of a video on the grid: all whose time lies before its end."""
    return max(1, ceil(film.duration_s * CLIP_FPS - 0.03))


def first_on_grid(film: Film, pts: int) -> int:
    """The first frame of the grid that shows a picture or a later one."""
    return max(0, ceil(((pts - film.start_pts) * film.time_base - JITTER_S) * CLIP_FPS))


def last_shown(film: Film, time_s: float) -> int:
    """The latest timestamp that a picture may have which is shown at a time; that counts from the first picture."""
    return film.start_pts + floor((Fraction(time_s + 1e-9) + JITTER_S) / film.time_base)
