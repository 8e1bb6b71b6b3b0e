"""The checks of `mtmc doctor`: machine, site file, Redis, models, masks, sources, running site."""
