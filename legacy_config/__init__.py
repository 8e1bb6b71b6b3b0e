"""Configurations of `run_live_mtmc.py`, mtmc's ancestor, read as sites."""
