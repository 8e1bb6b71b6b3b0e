"""The `mtmc` command: one module per subcommand."""
