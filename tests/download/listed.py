"""A source of URLs for tests."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from tasks.schema.records import Frozen
from tasks.schema.webbody import URL_SCHEMA
from tasks.shards.stage import Stage, StageOutput
from tests.download.url_server import url_rows


class ListedUrlsConfig(Frozen):
    """The URLs."""

    urls: tuple[str, ...]


@dataclass(frozen=True)
class ListedUrls(Stage):
    """Offers the URLs of its configuration."""

    config: ListedUrlsConfig

    name: ClassVar[str] = "urls"
    version: ClassVar[int] = 1

    @property
    def schema(self) -> pa.Schema:
        return URL_SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        yield StageOutput(url_rows(self.config.urls))
