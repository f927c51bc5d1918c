"""Stage that writes the report of a run."""
