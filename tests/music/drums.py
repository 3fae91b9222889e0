"""Drum tracks with known beats: a small drum machine with grooves, swing, tempo changes and a human hand."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import signal

RATE = 24000

GROOVES: dict[str, dict[str, str]] = {
    "four": {"kick": "x...x...x...x...", "snare": "....x.......x...", "hat": "..x...x...x...x."},
    "rock": {"kick": "x.......x.......", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
    "rock_busy": {"kick": "x.....x.x.......", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
    "funk": {"kick": "x.x.......x..x..", "snare": "....x..x.x..x..x", "hat": "x.x.x.x.x.x.x.x."},
    "hiphop": {"kick": "x..x......x.....", "snare": "....x.......x...", "hat": "x.x.x.x.x.xxx.x."},
    "break": {"kick": "x.x.......xx....", "snare": "....x..x.x..x...", "hat": "x.x.x.x.x.x.x.x."},
    "march": {"kick": "x.......x.......", "snare": "x.x.x.xxx.x.x.x.", "hat": "................"},
    "ride": {"kick": "x.......x.......", "snare": "............x...", "hat": "x...x.x.x...x.x."},
    "disco": {"kick": "x...x...x...x...", "snare": "....x.......x...", "hat": "x.xxx.xxx.xxx.xx"},
}
"""Sixteenths of a 4/4 bar; a beat is four of them."""
PLAYED_AT = {
    "four": (95, 180),
    "rock": (60, 200),
    "rock_busy": (60, 160),
    "funk": (80, 130),
    "hiphop": (65, 115),
    "break": (90, 180),
    "march": (80, 140),
    "ride": (100, 200),
    "disco": (100, 140),
}
"""The tempos at which drummers play a groove: the same strokes at half the tempo would be written as another groove."""
GHOSTS = {"funk": (7, 9, 15), "break": (7, 9), "march": (2, 6, 7, 10, 14)}
"""Snare strokes that are only brushed."""


@dataclass(frozen=True)
class DrumTrack:
    """A rendered track: samples (n,) float32 at 24 kHz and the seconds of its beats."""

    samples: NDArray[np.float32]
    beats_s: NDArray[np.float64]
    bpm: float
    groove: str
    swing: float
    change: str


def render_drums(
    seed: int, *, bpm: float, seconds: float = 24.0, groove: str = "rock", swing: float = 0.0, change: str = "none"
) -> DrumTrack:
    """Render one track.

    Args:
        seed: Everything random comes from it: the sound of the kit, velocities, timing, the start.
        bpm: Tempo at the start.
        seconds: Length.
        groove: A name of `GROOVES`.
        swing: 0 straight, 1 triplets: how far the second eighth of a beat is late.
        change: `none`, `ramp` (up to 20 % faster or slower, evenly) or `step` (10 to 20 % in the middle).
    """
    draw = np.random.default_rng(seed)
    beats = _beat_times(bpm, seconds, change, draw)
    out = np.zeros(int(seconds * RATE) + RATE)
    kit = {"kick": _kick(draw), "snare": _snare(draw), "hat": _hat(draw)}
    level = {"kick": 1.0, "snare": draw.uniform(0.6, 0.9), "hat": draw.uniform(0.15, 0.4)}
    pattern = GROOVES[groove]
    for number in range(len(beats) - 1):
        length = beats[number + 1] - beats[number]
        for quarter in range(4):
            step = (number * 4 + quarter) % 16
            late = (0, 0, 2 / 3 - 1 / 2, (5 / 6 - 3 / 4))[quarter] * swing
            at = beats[number] + length * (quarter / 4 + late) + draw.normal(0, 0.004)
            for drum, steps in pattern.items():
                if steps[step] == "x" and at >= 0:
                    gain = level[drum] * draw.uniform(0.8, 1.0)
                    if drum == "snare" and step in GHOSTS.get(groove, ()):
                        gain *= 0.25
                    _add(out, kit[drum] * gain, at)
    samples = out[: int(seconds * RATE)] + draw.normal(0, 1e-4, int(seconds * RATE))
    inside = beats[(beats < seconds - 0.05)]
    return DrumTrack((0.7 * samples / np.abs(samples).max()).astype(np.float32), inside, bpm, groove, swing, change)


def drum_tracks(count: int = 100, seed: int = 7, *, any_groove: bool = False) -> list[DrumTrack]:
    """Tracks over 60 to 200 BPM (evenly in the logarithm), a third swung, a third with tempo changes.

    Args:
        count: How many.
        seed: Other seeds give other tracks.
        any_groove: Every groove at every tempo, also where nobody would play it.
    """
    draw = np.random.default_rng(seed)
    tempos = 60.0 * (200.0 / 60.0) ** (np.arange(count) / max(count - 1, 1))
    grooves = sorted(GROOVES)
    made = []
    for number, bpm in enumerate(tempos):
        fitting = [g for g in grooves if any_groove or PLAYED_AT[g][0] <= round(bpm) <= PLAYED_AT[g][1]]
        groove = fitting[draw.integers(len(fitting))]
        swing = float(draw.uniform(0.5, 1.0)) if number % 3 == 1 else 0.0
        change = ("none", "none", "none", "none", "ramp", "step")[draw.integers(6)] if number % 3 != 2 else "ramp"
        made.append(render_drums(seed * 1000 + number, bpm=float(bpm), groove=groove, swing=swing, change=change))
    return made


def clicks(
    bpm: float, seconds: float, *, start: float = 0.25, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Equal short clicks at an even tempo: samples at 24 kHz and the seconds of the clicks."""
    times = np.arange(start, seconds - 0.05, 60.0 / bpm)
    n = np.arange(int(0.02 * RATE))
    click = np.sin(2 * np.pi * 1000 * n / RATE) * np.exp(-n / (0.004 * RATE))
    out = np.random.default_rng(seed).normal(0, 1e-5, int(seconds * RATE))
    for at in times:
        _add(out, 0.8 * click, at)
    return out.astype(np.float32), times


def _beat_times(bpm: float, seconds: float, change: str, draw: np.random.Generator) -> NDArray[np.float64]:
    factor = float(np.clip(draw.choice([-1, 1]) * draw.uniform(0.1, 0.2), 60 / bpm - 1, 200 / bpm - 1))
    at, times = float(draw.uniform(0.0, 0.8)), []
    while at < seconds:
        times.append(at)
        part = at / seconds
        now = {"none": bpm, "ramp": bpm * (1 + factor * part), "step": bpm * (1 + factor * (part > 0.5))}[change]
        at += 60.0 / now
    times.append(at)
    return np.array(times)


def _add(out: NDArray[np.float64], sound: NDArray[np.float64], at: float) -> None:
    begin = round(at * RATE)
    room = out[begin : begin + len(sound)]
    room += sound[: len(room)]


def _kick(draw: np.random.Generator) -> NDArray[np.float64]:
    t = np.arange(int(0.3 * RATE)) / RATE
    low, drop = draw.uniform(42, 60), draw.uniform(60, 140)
    phase = 2 * np.pi * (low * t + drop * 0.03 * (1 - np.exp(-t / 0.03)))
    beater = draw.normal(size=t.size) * np.exp(-t / 0.003) * draw.uniform(0.05, 0.2)
    return np.sin(phase) * np.exp(-t / draw.uniform(0.06, 0.12)) + beater


def _snare(draw: np.random.Generator) -> NDArray[np.float64]:
    t = np.arange(int(0.25 * RATE)) / RATE
    wires = signal.sosfilt(_band(800, 9000), draw.normal(size=t.size)) * np.exp(-t / draw.uniform(0.05, 0.1))
    shell = np.sin(2 * np.pi * draw.uniform(160, 230) * t) * np.exp(-t / 0.05)
    return 0.7 * wires + 0.6 * shell


def _hat(draw: np.random.Generator) -> NDArray[np.float64]:
    t = np.arange(int(0.12 * RATE)) / RATE
    return signal.sosfilt(_band(draw.uniform(5000, 7000), 11500), draw.normal(size=t.size)) * np.exp(
        -t / draw.uniform(0.015, 0.04)
    )


@lru_cache(maxsize=64)
def _band(low: float, high: float) -> NDArray[np.float64]:
    sections: NDArray[np.float64] = signal.butter(2, [low, high], "bandpass", fs=RATE, output="sos")
    return sections
