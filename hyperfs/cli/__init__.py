"""The `hyperfs` command, one file a subcommand."""
