"""Small fixed inputs for the stages of films: a film of 60 frames with one cut."""

from pathlib import Path

from tasks.shards.derive import Derivation
from tasks.shards.store import Store
from tests.patches.film_builds import film_of, patches_of

FILM = Path(__file__).parents[1] / "data" / "films" / "one_cut.mp4"
"""Made once: `make_film(FILM, scenes=(Scene(frames=30, seed=1), Scene(frames=30, seed=2)), crf=30)`."""


def film_cases(store: Store) -> dict[str, Derivation]:
    """Stage name -> a derivation that ends in that stage."""
    (patches,) = patches_of(FILM, store, store.root / "tree", windows=4)
    (windows,) = patches.inputs
    assert isinstance(windows, Derivation)
    return {"film": film_of(FILM), "windows": windows, "patches": patches}
