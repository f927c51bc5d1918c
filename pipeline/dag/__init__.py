"""The DAG and its runner on this machine."""
