"""The processes of a site; each folder runs on its own with `mtmc run`."""
