"""Turns pictures into tracks: video, inference, tracking. A library with no dependency on Redis."""
