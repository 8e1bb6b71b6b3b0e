"""`mtmc models`: list, fetch, check and time models."""
