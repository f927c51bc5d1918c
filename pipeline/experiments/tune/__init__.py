"""`taskroute tune`: a bounded search for settings, judged on validation, told from chance."""
