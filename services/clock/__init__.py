"""The clock: publishes ticks, bounds the skew between cameras, names the stalled ones."""
