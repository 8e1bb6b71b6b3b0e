"""`mtmc models`: list, download, verify and benchmark models."""
