"""Stage that stops a run whose data changed beyond a limit that stops."""
