"""Examines a site before and while it runs: machine, Redis, models, masks, sources."""
