"""Finds what the tasks of an mtnas trunk share, for Trainer to train."""
