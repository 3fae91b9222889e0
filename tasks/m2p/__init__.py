"""Music to pose: from dance videos to samples of music, poses and a reference, all steps joined."""
