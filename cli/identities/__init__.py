"""`mtmc identities`: lists the identities of a running site, and corrects them."""
