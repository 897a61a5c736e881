"""The admin API: what an operator sees and does."""
