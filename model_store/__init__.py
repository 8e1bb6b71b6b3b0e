"""Models that others publish: which there are, fetching them, checking them, timing them."""
