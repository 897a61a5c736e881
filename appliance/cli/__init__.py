"""The sternpost command: one file per subcommand, imported only when called."""
