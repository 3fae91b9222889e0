"""People's bodies: keypoint layouts, OpenPose drawings, who the main person is."""
