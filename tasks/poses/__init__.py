"""From a photo's keypoints to a described, rendered, selected pose template."""
