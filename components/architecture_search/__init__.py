"""Searches the share route of an mtnas trunk, for Trainer to train."""
