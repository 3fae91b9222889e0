"""Ids that leave the project: stable across rebuilds and machines, because they come from the sample alone."""

from hashlib import sha256


def template_id(sample_id: str) -> str:
    """The id of a pose template, in Postgres and in the names of its pictures: `pt_` and 24 hex digits."""
    return f"pt_{sha256(sample_id.encode()).hexdigest()[:24]}"
