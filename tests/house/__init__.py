"""Rules of the house, kept by tests and not by reviewers."""
