import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.music.extractors import load_extractors
from tasks.music.features import LAYOUT, music_features
from tasks.music.sound import Samples
from tasks.schema.errors import ConfigError


class Loudness:
    """Root mean square and peak of each row's samples."""

    name = "loudness"
    width = 2

    def extract(self, samples: Samples, sr: int, frames: int) -> NDArray[np.float32]:
        hop = sr // 24
        rows = [samples[r * hop : (r + 1) * hop] for r in range(frames)]
        return np.array([(np.sqrt(np.mean(row**2)), np.abs(row).max()) for row in rows], np.float32)


class TooNarrow(Loudness):
    width = 3


class NoExtractor:
    pass


def test_a_feature_of_ones_own_stands_behind() -> None:
    samples = np.linspace(0, 1, 48000, dtype=np.float32)
    extractors = load_extractors([f"{__name__}:Loudness"]) if __name__ != "__main__" else ()
    found = music_features(samples, 48, extractors)
    assert found.layout["loudness"] == slice(LAYOUT.width, LAYOUT.width + 2)
    assert found.columns("loudness")[-1, 1] == 1
    assert found.values.shape == (48, LAYOUT.width + 2)


def test_what_is_promised_is_checked() -> None:
    with pytest.raises(ConfigError, match="promised"):
        music_features(np.ones(24000, np.float32), 24, [TooNarrow()])


@pytest.mark.parametrize("path", ["nowhere.module:Thing", "json", "json:dumped", f"{__name__}:NoExtractor"])
def test_a_wrong_path_says_what_to_write(path: str) -> None:
    with pytest.raises(ConfigError, match="music extractor"):
        load_extractors([path])
