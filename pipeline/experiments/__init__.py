"""Experiments: many trainings on one log. `compare` and `tune` say which, and tell the results."""
