"""Reads log files into tf.Examples, split into train, validation and test."""
