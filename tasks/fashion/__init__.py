"""Runway and street photos: what people wear in them, and how the two compare."""
