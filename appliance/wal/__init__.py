"""The write-ahead log: what is acknowledged is on disk before the answer leaves."""
