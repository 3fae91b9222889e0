"""Runway to street: from photos to categories and trends, all steps joined."""
