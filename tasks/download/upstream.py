"""Modules of img2dataset without the rest of its package.

Its `__init__` imports every reader, writer and cluster there is: 10 to 17 seconds and 700 MB in each process, where the
module that resizes takes 2 to 4 seconds and 140 MB (measured on two cores).
"""

import importlib
import os
import sys
import warnings
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from threading import Lock
from types import ModuleType

from tasks.schema.errors import ConfigError

PACKAGE = "img2dataset"
_LOADING = Lock()


def submodule(name: str) -> ModuleType:
    """`img2dataset.<name>`. Whoever imports the whole package before or afterwards gets it whole.

    Raises:
        ConfigError: img2dataset is not installed.
    """
    full = f"{PACKAGE}.{name}"
    with _LOADING:
        if full in sys.modules:
            return sys.modules[full]
        # its import of albumentations would ask the network for a newer release
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
        bare = None if PACKAGE in sys.modules else module_from_spec(_spec())
        if bare is not None:
            sys.modules[PACKAGE] = bare
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return importlib.import_module(full)
        finally:
            if bare is not None:
                sys.modules.pop(PACKAGE, None)


def _spec() -> ModuleSpec:
    spec = find_spec(PACKAGE)
    if spec is None:
        raise ConfigError("Downloading needs img2dataset: install it with `pip install img2dataset==1.47.*`.")
    return spec
