"""`taskroute init`: a config to start from, guessed from the first rows of a log."""
