"""Films: what they are, their frames, their colours."""
