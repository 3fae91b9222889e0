"""All music features against the plain librosa calls of the usual recipe, at the same rate and hop, in one run.

    python -m tests.benchmarks.bench_music_features [--seconds 30] [--rounds 5] [sound files ...]

The recipe makes 39 columns on 24 rows a second; ours makes the same 38 numbers, and onsets, beats and tempo at 96 Hz,
tempogram and mel beside. CPU seconds of alternating rounds, medians.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from statistics import median

import librosa
import numpy as np
from numpy.typing import NDArray

from tasks.music.features import music_features
from tests.music.drums import render_drums

RATE, HOP = 24000, 1000
PARTS = {"mfcc": slice(0, 13), "chroma": slice(13, 25), "contrast": slice(25, 32), "tonnetz": slice(32, 38)}


def recipe(y: NDArray[np.float32]) -> NDArray[np.float32]:
    """The recipe's columns (rows, 39), the last row dropped."""
    at = {"sr": RATE, "hop_length": HOP}
    harmonic = librosa.effects.harmonic(y, hop_length=HOP)
    rows = [
        librosa.feature.mfcc(y=y, n_mfcc=13, **at),
        librosa.feature.chroma_stft(y=y, **at),
        librosa.feature.spectral_contrast(y=y, **at),
        librosa.feature.tonnetz(y=harmonic, **at),
    ]
    tempo, _ = librosa.beat.beat_track(y=y, **at)
    made: NDArray[np.float32] = np.vstack([*rows, np.full((1, rows[0].shape[1]), tempo)]).T[:-1]
    return made


def seconds_of(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    """Print a line a sound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sounds", nargs="*")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    sounds = {name: librosa.load(name, sr=RATE, duration=options.seconds)[0] for name in options.sounds}
    sounds = sounds or {"drums": render_drums(1, bpm=120, seconds=options.seconds).samples}
    ratios = []
    for name, whole in sounds.items():
        frames = len(whole) // HOP
        y = whole[: frames * HOP]
        theirs, ours = recipe(y), music_features(y, frames)
        apart = max(np.abs(ours.columns(part) - theirs[:, at]).max() for part, at in PARTS.items())
        times = [
            (seconds_of(lambda y=y: recipe(y)), seconds_of(lambda y=y, n=frames: music_features(y, n)))
            for _ in range(options.rounds)
        ]
        plain, shared = (median(each) for each in zip(*times, strict=True))
        ratios.append(plain / shared)
        print(f"{name}: librosa {plain:.3f} s, ours {shared:.3f} s, {ratios[-1]:.2f} times, max difference {apart:.1e}")
    print(f"median {median(ratios):.2f} times, lowest {min(ratios):.2f}")


if __name__ == "__main__":
    main()
