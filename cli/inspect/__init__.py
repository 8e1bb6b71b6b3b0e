"""`mtmc inspect`: show the data of a site in Redis."""
