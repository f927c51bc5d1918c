"""A run of the pipeline, its record and its commands."""
