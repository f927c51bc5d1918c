"""Stage that stops a run whose log breaks its schema."""
