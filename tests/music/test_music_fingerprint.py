import io
import itertools

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.music.fingerprint import compare, fingerprint, songs
from tests.music.drums import RATE, render_drums


def encoded(samples: NDArray[np.float32], codec: str, container: str) -> NDArray[np.float32]:
    """Through an encoder and back."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=RATE, layout="mono")
        stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            out.mux(packet)
    file.seek(0)
    with av.open(file) as found:
        to = av.AudioResampler("flt", "mono", RATE)
        parts = [part for each in found.decode(audio=0) for part in to.resample(each)]
    return np.concatenate([part.to_ndarray()[0] for part in parts])


def melody(seed: int, seconds: float = 12.0) -> NDArray[np.float32]:
    """Drums and a tune that only this seed has."""
    draw = np.random.default_rng(seed)
    out = render_drums(seed, bpm=float(draw.uniform(80, 150)), seconds=seconds).samples * 0.5
    at = 0.0
    while at < seconds - 0.5:
        t = np.arange(int(0.4 * RATE)) / RATE
        pitch = 262 * 2 ** (draw.integers(24) / 12)
        note = sum(np.sin(2 * np.pi * pitch * k * t) / k for k in range(1, 6)) * np.exp(-t / 0.2)
        out[int(at * RATE) : int(at * RATE) + len(note)] += (0.15 * note).astype(np.float32)
        at += float(draw.choice([0.125, 0.25, 0.375]))
    return out


@pytest.mark.parametrize(("codec", "container"), [("aac", "mp4"), ("libmp3lame", "mp3")])
def test_an_encoded_quieter_excerpt_is_the_same_song(codec: str, container: str) -> None:
    song = melody(1)
    excerpt = encoded(song[3 * RATE + 137 : 9 * RATE] * np.float32(0.3), codec, container)
    found = compare(fingerprint(song), fingerprint(excerpt))
    assert found.same_song
    assert found.shift_s == pytest.approx(3, abs=0.15)


def test_songs_are_told_apart_and_grouped() -> None:
    clips = [melody(seed) for seed in range(3)]
    clips += [clips[1][: 7 * RATE], clips[1][4 * RATE + 77 :]]
    prints = [fingerprint(clip) for clip in clips]
    groups = songs(prints)
    assert len(set(groups[:3])) == 3
    assert groups[3] == groups[4] == groups[1]
    assert not any(compare(a, b).same_song for a, b in itertools.combinations(prints[:3], 2))


def test_nothing_is_like_nothing() -> None:
    silence = fingerprint(np.zeros(RATE * 3, np.float32))
    assert not len(silence.hashes)
    assert not compare(silence, silence).same_song
    assert songs([silence, silence]) == [0, 1]
    assert songs([]) == []


def test_the_same_sound_has_the_same_fingerprint() -> None:
    clip = melody(4, 4)
    first, second = fingerprint(clip), fingerprint(clip.copy())
    assert np.array_equal(first.hashes, second.hashes)
    assert np.array_equal(first.frames, second.frames)
