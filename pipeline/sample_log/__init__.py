"""A log whose truth is known, and the demo on it."""
