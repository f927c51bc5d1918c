"""Choice and wiring: the DAG, its runners and the command line."""

from taskroute.schemas import environment

environment.prepare()
