"""The person graph: which ids an event has, which of them are one person, and what keeps two people apart."""
