"""The person graph: which ids belong to one person, at every place of the log."""
