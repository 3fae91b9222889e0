"""Dance videos: what they are, their clips, and what belongs to a clip."""
