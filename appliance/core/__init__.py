"""Words that every room shares: errors, events, jobs, configuration, clock, metrics, logs."""
