"""One file a dataset, read like a table of contents, and the thin command line."""
