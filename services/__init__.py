"""The processes of a site; `mtmc run` runs one of them."""
