"""What runs on a store, as any terminal sees it."""
