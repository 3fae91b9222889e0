"""Errors that a person can act on: the message says what is wrong and what to do."""


class MannequinError(Exception):
    """Base of all errors whose message alone tells the user what to do."""


class ConfigError(MannequinError):
    """A parameter, a mapping or a configuration does not fit."""


class SourceError(MannequinError):
    """A data source is missing, refused us, or does not have the promised shape."""


class ModelError(MannequinError):
    """A model's weights are missing, damaged, or not what their card promises."""


class DatabaseError(MannequinError):
    """A database is out of reach or does not have the shape we need."""


class DatabaseUnreachableError(DatabaseError):
    """No connection; trying again later may help."""


class StoreError(MannequinError):
    """The store is out of reach, full, or holds something that we did not write."""


class StoreUnreachableError(StoreError):
    """Its bucket does not answer, or not now; trying again later may help."""


class UnreadableError(StoreError):
    """What is asked for is not in the store, or does not read."""


class ShapeError(ValueError):
    """An array does not have the shape, dtype or range its type promises."""
