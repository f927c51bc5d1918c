"""`python -m taskroute.pipeline` is the command `taskroute`."""

from taskroute.pipeline.cli.main import main

main()
