"""Runs a site on this machine: finds its Redis, publishes its file, starts and supervises its processes."""
