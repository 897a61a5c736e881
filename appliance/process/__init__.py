"""The pure pipeline between the log and a destination."""
