"""Features of one's own: anything with a name, a width and a way to make rows, named in a configuration."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tasks.music.sound import Samples
from tasks.schema.errors import ConfigError


@runtime_checkable
class FeatureExtractor(Protocol):
    """A feature beside those built in; its columns follow theirs under its name."""

    @property
    def name(self) -> str: ...

    @property
    def width(self) -> int: ...

    def extract(self, samples: Samples, sr: int, frames: int) -> NDArray[np.float32]:
        """Features (frames, width) float32, finite; row r belongs to the time r / 24 s.

        Args:
            samples: Mono float32, to be cut as far as needed; a long sound lies in a file.
            sr: Samples a second, 24000.
            frames: Rows to make.
        """
        ...


def load_extractors(paths: Sequence[str]) -> tuple[FeatureExtractor, ...]:
    """Make extractors named as `package.module:Class`; the class is called without arguments.

    Raises:
        ConfigError: A path leads nowhere, or to something that extracts no features.
    """
    from pydoc import locate

    made = []
    for path in paths:
        module, _, name = path.partition(":")
        found = locate(f"{module}.{name}") if name else None
        if not callable(found):
            raise ConfigError(f"music extractor {path!r}: write it as `package.module:Class`, importable from here")
        extractor = found()
        if not isinstance(extractor, FeatureExtractor):
            raise ConfigError(f"music extractor {path!r} needs `name`, `width` and `extract(samples, sr, frames)`")
        made.append(extractor)
    return tuple(made)


def extracted(extractor: FeatureExtractor, samples: Samples, sr: int, frames: int) -> NDArray[np.float32]:
    """What it makes, checked.

    Raises:
        ConfigError: The rows do not have the promised shape, or are not finite.
    """
    rows = np.asarray(extractor.extract(samples, sr, frames))
    if rows.shape != (frames, extractor.width):
        raise ConfigError(f"extractor {extractor.name!r} promised {(frames, extractor.width)} and made {rows.shape}")
    if not np.issubdtype(rows.dtype, np.number) or not np.isfinite(rows).all():
        raise ConfigError(f"extractor {extractor.name!r} made values that are no finite numbers")
    return rows.astype(np.float32, copy=False)
