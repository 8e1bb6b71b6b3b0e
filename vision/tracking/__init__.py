"""Single-camera multi-object tracking."""
