"""The camera worker: decodes, detects, embeds, tracks and publishes, for the cameras whose leases it holds."""
