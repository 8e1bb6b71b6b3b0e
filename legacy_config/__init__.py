"""Converts configurations of `run_live_mtmc.py`, the predecessor of mtmc, to sites."""
