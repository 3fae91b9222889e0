"""Home of the tests on real data."""

from tests.flows.conftest import home

__all__ = ["home"]
