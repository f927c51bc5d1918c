"""Exported models served on a laptop."""
