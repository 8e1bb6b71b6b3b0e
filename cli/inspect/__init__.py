"""`mtmc inspect`: show what a site has in Redis."""
