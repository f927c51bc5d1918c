"""What a row, a feature, a task, a trunk and a run are. Nothing here imports TensorFlow."""
