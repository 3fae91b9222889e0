"""Pictures: decode them safely, hash them, find what is not usable, lay them out for people."""
