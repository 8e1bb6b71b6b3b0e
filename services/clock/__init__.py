"""The clock: publishes ticks, limits the skew between cameras, reports stalled cameras."""
