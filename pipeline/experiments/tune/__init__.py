"""`taskroute tune`: a bounded search for settings, judged on validation, tested against chance."""
