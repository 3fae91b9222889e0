"""Where a sample came from, what was made of it, and why it is not there: told from the store alone."""
