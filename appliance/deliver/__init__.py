"""Lanes per person, retries, held queues, dead letters; calls the plug-in."""
