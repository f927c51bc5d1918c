"""Proves that a model serves, in a process that has TensorFlow and none of our code."""
