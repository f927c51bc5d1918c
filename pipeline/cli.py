"""The command `taskroute`: parses, calls, and turns what went wrong into a sentence.

Nothing heavy is imported before the command is known: `--help` answers at once.
"""

import sys
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Literal

import click

_config = click.argument("config", type=click.Path(path_type=Path))
_data = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="TASKROUTE_DATA",
    help="Where relative paths of the config start; the config's folder by default.",
)
_root = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where artifacts, logs and served models go; runs/NAME by default.",
)
_verbose = click.option("-v", "--verbose", is_flag=True, help="Show what TensorFlow and Beam say.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="taskroute")
def cli() -> None:
    """From click and watch logs to a served multi-task ranker."""


def _sentence_for_errors(command: Callable[..., int | None]) -> Callable[..., None]:
    """A user's mistake ends in one sentence and its exit code; ours in the log's last line too."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        from taskroute.schemas.errors import UserError

        try:
            code = command(*args, **kwargs)
        except UserError as error:
            click.echo(f"taskroute: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("taskroute: stopped; the same command goes on from the last stage", err=True)
            sys.exit(130)
        except Exception as error:
            if kwargs.get("verbose"):
                traceback.print_exc()
            cause = str(error).strip().splitlines()
            click.echo(
                f"taskroute: {type(error).__name__}: {cause[0] if cause else 'no message'} "
                "(call again with -v for the traceback)",
                err=True,
            )
            sys.exit(1)
        sys.exit(code or 0)

    return run


@cli.command()
@_config
@_data
@_sentence_for_errors
def check(config: Path, data: Path | None) -> None:
    """Reads CONFIG and a sample of its log: columns, types, label rates. No training."""
    from taskroute.pipeline.check import check_log, print_check
    from taskroute.schemas.recommender import load_config

    loaded = load_config(config)
    print_check(loaded, check_log(loaded, data or config.parent))


@cli.command()
@_config
@_data
@_root
@_verbose
@_sentence_for_errors
def run(config: Path, data: Path | None, root: Path | None, verbose: bool) -> int:
    """Runs the pipeline of CONFIG on this machine; finished stages are reused."""
    from taskroute.pipeline import run as runner
    from taskroute.pipeline.check import check_log
    from taskroute.schemas.recommender import load_config

    loaded = load_config(config)
    folder = data or config.parent
    check_log(loaded, folder)
    return runner.run(loaded, folder, root or Path("runs") / loaded.name, verbose=verbose).exit_code


@cli.command()
@click.option("--rows", default=200_000, show_default=True, help="Rows of the sample log.")
@click.option("--relatedness", default=0.5, show_default=True, help="Of the tasks, 0 to 1.")
@click.option("--seed", default=1, show_default=True)
@click.option("--format", "format_", type=click.Choice(["parquet", "csv"]), default="parquet")
@_root
@_verbose
@_sentence_for_errors
def demo(
    rows: int,
    relatedness: float,
    seed: int,
    format_: Literal["parquet", "csv"],
    root: Path | None,
    verbose: bool,
) -> int:
    """Makes a sample log and runs the whole pipeline on it."""
    from taskroute.pipeline.demo import run_demo

    return run_demo(
        root or Path("runs/demo"),
        num_rows=rows,
        relatedness=relatedness,
        seed=seed,
        log_format=format_,
        verbose=verbose,
    ).exit_code


@cli.command()
@_config
@_root
@click.option(
    "--figure",
    type=click.Path(path_type=Path, dir_okay=False),
    help="SVG file to draw the routes to.",
)
@_sentence_for_errors
def describe(config: Path, root: Path | None, figure: Path | None) -> None:
    """Says what the model of CONFIG's last run costs and which routes it uses."""
    from taskroute.pipeline.describe import draw_routes, print_description, read_training
    from taskroute.pipeline.paths import RunPaths
    from taskroute.schemas.recommender import load_config

    name = load_config(config).name
    training = read_training(RunPaths((root or Path("runs") / name).resolve(), name))
    print_description(training)
    if figure is not None:
        draw_routes(training, figure)


@cli.command("serve-check")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@_sentence_for_errors
def serve_check(folder: Path) -> int:
    """Tries the exported model in FOLDER as a server would, without our code."""
    from taskroute.pipeline import serve_check as checker

    return checker.serve_check(folder)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8500, show_default=True, help="Of gRPC; 0 takes a free one.")
@click.option("--rest-port", default=8501, show_default=True, help="Of REST; 0 takes a free one.")
@_sentence_for_errors
def serve(folder: Path, host: str, port: int, rest_port: int) -> None:
    """Serves the exported model in FOLDER, for trying clients: not for production."""
    from taskroute.pipeline.serve import serve_model

    serve_model(folder, host, port, rest_port)


@cli.command()
@click.argument("name")
@_root
@_sentence_for_errors
def rollback(name: str, root: Path | None) -> None:
    """Goes back to the version before the one that serves. NAME may also be a config."""
    from taskroute.pipeline.rollback import roll_back

    click.echo(roll_back(name, root))


@cli.command()
@_sentence_for_errors
def doctor() -> int:
    """Says which versions and tools are here, what is wrong, and how to mend it."""
    from taskroute.pipeline.doctor import diagnose

    return diagnose()


def main() -> None:
    """Entry point of the console script."""
    cli(prog_name="taskroute")
