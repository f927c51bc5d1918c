"""`taskroute compare`: several trunks on the same rows, and how they differ."""
