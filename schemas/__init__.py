"""Types of a config: a row, a feature, a task, a trunk, a run. Nothing here imports TensorFlow."""
