"""Experiments: many trainings on one log, chosen and reported by `compare` and `tune`."""
