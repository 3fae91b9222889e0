"""The model zoo: cards, verified files, and models that are loaded once a process."""
