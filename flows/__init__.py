"""One file a dataset, read like a table of contents, and the thin command line."""

FRONT = frozenset(
    {
        "cli",
        "console",
        "forgetting",
        "inspection",
        "monitor",
        "monitor_patches",
        "parameters",
        "places",
        "planning",
        "printing",
        "saving",
        "upkeep",
    }
)
"""Modules of the command line; every other one is a flow of its own name."""
