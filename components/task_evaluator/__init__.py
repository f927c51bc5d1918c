"""Measures a candidate per task on the test split and decides whether it may be served."""
