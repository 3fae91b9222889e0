"""Music: what a row of sound says at every frame of a video, beats, and which clips share a song."""
