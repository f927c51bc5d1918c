"""The pipeline on Kubeflow Pipelines v2: compiled, run in containers, submitted."""
