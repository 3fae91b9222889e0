"""What a build says of itself: one reader for all who show it, an offline page, and what two builds have not alike."""
