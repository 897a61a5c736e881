"""What the proofs share: the real process, a sink that fails on demand, clients that keep a ledger, and the judge."""
