"""A night: which datasets are refreshed, one after another on each kind of machine, and what is told of it."""
