"""Pictures to tracks: video, inference, tracking. A library: it knows no Redis."""
