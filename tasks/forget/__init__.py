"""Takes samples and all that was made of them out of a store, its exports, databases and runs, and keeps them out."""
