"""The linkers, by name.

Measured on made faces in three spaces (tests/benchmarks/bench_linkage.py) and on real ones, average linkage is as good
as Infomap at its best threshold and, unlike it, hardly depends on the threshold; it is the fastest beside components,
needs no further package, and keeps faces of one photo apart while it works.
"""

from typing import Annotated

from pydantic import Field

from tasks.identity.link_average import AverageLinkage
from tasks.identity.link_density import HdbscanLinkage
from tasks.identity.link_graph import Components, FcEsLinkage, InfomapLinkage, LeidenLinkage
from tasks.identity.link_labels import PerLabel

LinkerConfig = Annotated[
    AverageLinkage | Components | InfomapLinkage | FcEsLinkage | LeidenLinkage | HdbscanLinkage | PerLabel,
    Field(discriminator="method"),
]
"""Which linker, and its parameters."""
