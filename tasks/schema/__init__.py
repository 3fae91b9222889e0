"""Words shared by every capability. A leaf: imports nothing else of this project."""
