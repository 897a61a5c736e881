"""Sternpost's server: collects events durably, unifies people, delivers in order."""
