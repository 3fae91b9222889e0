"""Where samples come from: hubs, folders, videos, rendered mannequins."""
