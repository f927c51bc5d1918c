"""`taskroute serve`: finds the model, prints its addresses, serves it."""

import asyncio
import os
from pathlib import Path

from rich.console import Console

from taskroute.pipeline.run.quiet import quiet
from taskroute.pipeline.server.served_model import find_model
from taskroute.schemas.errors import ConfigError


def serve_model(folder: Path, host: str, port: int, rest_port: int) -> None:
    """Serves the model in `folder` until it is interrupted.

    Raises:
        ConfigError: If there is no such model, or a port is taken.
    """
    model = find_model(folder)
    console = Console(highlight=False, soft_wrap=True)
    loading = f"loading {model.info.name}, version {model.version}"
    with quiet(Path(os.devnull), verbose=False) as terminal, terminal.status(loading):
        from taskroute.pipeline.server.model_server import LoadedModel, serve

        loaded = LoadedModel(model)

    def on_ready(port: int, rest_port: int) -> None:
        console.print(f"[bold]{model.info.name}[/bold]  version {model.version}  {model.folder}")
        console.print(f"gRPC  {host}:{port}")
        console.print(f"REST  http://{host}:{rest_port}/v1/models/{model.info.name}:predict")
        console.print("Ctrl-C ends it. For clients and tests; docs/serving.md tells of production.")

    try:
        asyncio.run(serve(loaded, host, port, rest_port, on_ready))
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(
            f"{host}: {reason}; choose other ports with --port and --rest-port"
        ) from None
