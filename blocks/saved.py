"""How a block is found: saved under a name, or the default when nobody saved one."""

from typing import TypeVar, cast

from prefect.blocks.core import Block
from prefect.exceptions import ObjectNotFound

from tasks.schema.errors import ConfigError

DEFAULT = "default"

B = TypeVar("B", bound=Block)


def saved_or_default(kind: type[B], name: str) -> B:
    """The block saved under `name`; for the name `default` the kind's own defaults when none is saved.

    Raises:
        ConfigError: no block of another name is saved.
    """
    try:
        return cast("B", kind.load(name))
    except ValueError as error:
        if not isinstance(error.__cause__, ObjectNotFound):
            raise
    if name == DEFAULT:
        return kind()
    raise ConfigError(
        f"No block {kind.get_block_type_slug()}/{name} is saved: "
        f"create it in the Prefect UI under Blocks, or use the name {DEFAULT!r}."
    )
