"""`mtmc cameras`: look at the cameras of a running site and change them."""
