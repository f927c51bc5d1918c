"""Measures a candidate per task on the test split and says whether it may be served."""
