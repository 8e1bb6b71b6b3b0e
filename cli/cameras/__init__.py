"""`mtmc cameras`: list and change the cameras of a running site."""
