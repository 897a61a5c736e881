"""Proofs against the real process."""
