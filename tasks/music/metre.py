"""Which of the even rows of moments is the beat: the one that was found, its half, its double, or one shifted."""

import numpy as np
from numpy.typing import NDArray

from tasks.music.onsets import ONSET_RATE, Onsets

Floats = NDArray[np.float32]
Times = NDArray[np.float64]

SLOWEST_BPM, FASTEST_BPM = 54.0, 216.0
USUAL_BPM = 110.0
WIDTH_FRAMES = 1.5
"""Standard deviation of the hand's timing, in onset frames."""
AROUND_S = 2.0
"""A moment is measured against the strongest one of so much time."""
FAINT = 0.15
"""And not against less than this share of the track's strongest one."""

PHASES = (0.0, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4)
AT_PHASE = np.array(
    [[1.9, 2.4, 1.8], [0.8, -1.3, -3.3], [-0.7, -0.6, -1.2], [-1.2, -1.9, 0.6], [0.5, 0.1, 1.0], [0.1, 1.5, -1.7]]
)
"""What strength in low, middle and high sounds at each phase of a beat says for it."""
ALTERNATION = np.array([0.7, -0.1, 3.2])
"""What it says that even and odd beats differ, as bass drum and snare do."""
TEMPO, TEMPO_SQUARED = -0.4, -0.4
"""Per octave away from 110 BPM. Source of all: a conditional logit over 300 tracks of our drum machine, known beats."""


def relative(rise: Floats) -> Floats:
    """Strength of each moment against the strongest around it, 0 to about 1."""
    from scipy.ndimage import gaussian_filter1d, maximum_filter1d

    smooth = gaussian_filter1d(rise, WIDTH_FRAMES, mode="constant")
    strongest = maximum_filter1d(smooth, round(AROUND_S * ONSET_RATE))
    around = np.maximum(gaussian_filter1d(strongest, ONSET_RATE, mode="nearest"), FAINT * smooth.max())
    strength: Floats = smooth / np.maximum(around, np.float32(1e-9))
    return strength


def bands_of(onsets: Onsets) -> Floats:
    """Strength in low, middle and high sounds, (frames, 3): the strongest of five frames, as hands are not exact."""
    from scipy.ndimage import maximum_filter1d

    bands = (onsets.low, onsets.middle, onsets.high)
    return np.stack([maximum_filter1d(relative(band), 5) for band in bands], axis=1)


def phase_evidence(strength: Floats) -> Floats:
    """What each frame says for a beat of which it is one of `PHASES`, (frames, phases).

    Args:
        strength: of `bands_of`.
    """
    said: Floats = strength @ AT_PHASE.T.astype(np.float32)
    return said


def likeliest(strength: Floats, beats: Times) -> Times:
    """The likeliest beat among the rows of moments that these make, in onset frames.

    Args:
        strength: of `bands_of`.
        beats: Frames (n,) that are evenly spaced but may be every second beat, or lie between the beats.
    """
    rows = [row for row in _rows(beats) if len(row) > 3 and _is_tempo(row)]
    return max(rows, key=lambda row: _evidence(strength, row)) if rows else beats


def _rows(beats: Times) -> list[Times]:
    steps = np.diff(beats)
    between = beats[:-1] + steps / 2
    double = np.sort(np.concatenate([beats, between]))
    late = [beats[:-1] + steps * part for part in (1 / 3, 2 / 3)]
    return [beats, beats[::2], beats[1::2], double, between, *late]


def _is_tempo(row: Times) -> bool:
    bpm = 60 * ONSET_RATE / float(np.median(np.diff(row)))
    return SLOWEST_BPM <= bpm <= FASTEST_BPM


def _evidence(strength: Floats, row: Times) -> float:
    steps = np.diff(row)
    at = [np.clip(np.rint(row[:-1] + steps * phase).astype(np.int64), 0, len(strength) - 1) for phase in PHASES]
    strong = np.stack([strength[frames].mean(axis=0) for frames in at])
    on = strength[at[0]]
    differ = np.abs(on[::2].mean(axis=0) - on[1::2].mean(axis=0))
    away = np.log2(60 * ONSET_RATE / float(np.median(steps)) / USUAL_BPM)
    return float((strong * AT_PHASE).sum() + differ @ ALTERNATION + TEMPO * away + TEMPO_SQUARED * away**2)
