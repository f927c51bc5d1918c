"""Reads and writes shards of tf.Examples in batches."""
