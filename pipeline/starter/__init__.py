"""`taskroute init`: a config to start from, guessed from rows of a log."""
