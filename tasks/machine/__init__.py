"""What a machine brings to a run: places, credentials, and how its tasks are run."""
