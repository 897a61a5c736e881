"""Proofs: real files, real sockets, real processes."""
