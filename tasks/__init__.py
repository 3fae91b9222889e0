"""Capabilities of Mannequin, one package each; only `task.py` modules know Prefect."""
