"""Reads shards of tf.Examples in batches."""
