"""A small fixed input for the source of controls: two rows of a recipe."""

import pyarrow as pa

from tasks.controls.planted import Row, planted
from tasks.schema.columns import shard_schema
from tasks.shards.derive import Derivation


def control_cases() -> dict[str, Derivation]:
    """Stage name -> a derivation that ends in that stage."""
    columns = shard_schema(pa.field("joints", pa.int32()))

    def rows() -> list[Row]:
        return [{"sample_id": "control/one", "joints": 17}, {"sample_id": "control/two"}]

    return {"controls": planted("golden", 1, "a build", columns, rows, joints=17)}
