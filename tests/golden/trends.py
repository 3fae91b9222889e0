"""Small fixed inputs for the stages that compare the runway with the street: two hundred photos, sixty labelled."""

import numpy as np

from tasks.fashion.audit_ledger import LookVerdict, LookVerdicts
from tasks.fashion.trends import TrendConfig
from tasks.shards.derive import Derivation
from tasks.shards.store import Store
from tests.fashion.trend_photos import looks, trends_of, verdicts_on


def trend_cases(store: Store) -> dict[str, Derivation]:
    """Stage name -> a derivation that ends in that stage."""
    del store
    draw = np.random.default_rng(0)
    runway = looks("runway", 112, {"dress": 0.5, "outer": 0.3, "top": 0.4, "boots": 0.2}, draw, miss=0.3)
    street = looks("street", 100, {"dress": 0.2, "top": 0.6, "pants": 0.5, "bag": 0.3}, draw, miss=0.1)
    said = verdicts_on(runway, draw.permutation(112)[:60]) + verdicts_on(street, draw.permutation(100)[:50])
    return {
        "trends": trends_of(runway + street, said, TrendConfig(by_season=False)),
        "look_verdicts": Derivation(
            LookVerdicts.of(
                (
                    LookVerdict(sample_id="a", garments=("dress", "bag"), reviewer="me"),
                    LookVerdict(sample_id="b", garments=()),
                )
            )
        ),
    }
