"""The stage engine: content-keyed stages over Parquet shards, first-writer-wins commits, rejects, funnel, manifest."""
