"""The published SDKs, unmodified, against the real process; how they are driven, recorded and judged."""
