"""Inference runtimes, one per file."""
