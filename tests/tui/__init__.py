"""Proofs of the console against a fake admin API and, once, against the real one."""
