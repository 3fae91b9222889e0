"""Patches for super-resolution: what is planned, cut, judged, stacked and written."""
