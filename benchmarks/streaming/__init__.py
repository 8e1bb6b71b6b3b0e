"""Pictures, viewers and a peer for `benchmarks.streamer`."""
