"""Faces: where they are in a photo, how good they are, and whose they are."""
