"""Tasks mapped over groups of shards, where the run's runner says."""
