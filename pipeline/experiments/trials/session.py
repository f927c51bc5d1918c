"""What every command that trains many times on one log does before and after."""

import os
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from taskroute.components.logs import spans
from taskroute.pipeline.experiments.trials.keys import digests_of
from taskroute.pipeline.experiments.trials.shared_data import SharedData, prepare
from taskroute.pipeline.inspection.check import check_log
from taskroute.pipeline.run.lock import locked
from taskroute.pipeline.run.paths import RunPaths, absolute_source
from taskroute.pipeline.run.quiet import quiet
from taskroute.pipeline.run.run import log_fingerprint
from taskroute.schemas.errors import ConfigError
from taskroute.schemas.recommender import RecommenderConfig


@dataclass(frozen=True)
class Session:
    """A root that is held, and its log made ready for trainings.

    Attributes:
        folder: Of the command's results.
        console: For the user; what else is printed is in the log.
        data: What all trainings read.
        rows: Of each split.
        digests: Of data and code (`keys.digests_of`).
    """

    folder: Path
    console: Console
    data: SharedData
    rows: Mapping[str, int]
    digests: Mapping[str, str]

    def say_files(self, names: str, started: float) -> None:
        """The last line: seconds since `started`, and where the files are."""
        where = os.path.relpath(self.folder)
        self.console.print(
            f"\n{time.monotonic() - started:.0f} s; {names} in "
            f"{self.folder if where.startswith('..') else where}",
            markup=False,
            soft_wrap=True,
        )


def check_request(command: str, config: RecommenderConfig, num_seeds: int | None) -> None:
    """Refuses what no command that trains many times can do.

    Args:
        command: Its name.
        config: What to learn.
        num_seeds: Of `--seeds`, if it was given.

    Raises:
        ConfigError: If one seed is to show a difference, or several machines are to train.
    """
    if num_seeds is not None and num_seeds < 2:
        raise ConfigError(
            f"--seeds: {num_seeds} cannot tell a difference from chance; give 2 or more"
        )
    if config.training.strategy == "multi_worker":
        raise ConfigError(
            f"training.strategy: {command} trains on one machine; give `one` or `mirrored`"
        )


@contextmanager
def session(
    command: str,
    config: RecommenderConfig,
    data_folder: Path,
    root: Path,
    *,
    heading: str,
    verbose: bool,
) -> Iterator[Session]:
    """Holds the root's lock, and has the log ingested and transformed, once.

    Args:
        command: Its name, under which its results and its log lie; the module `trainer` of its
            package is part of the code's digest.
        config: What to learn.
        data_folder: Where relative paths of the config's source start.
        root: The pipeline root, whose finished stages are reused.
        heading: What is going to be done, behind the config's name.
        verbose: Whether to let TensorFlow and Beam print.

    Raises:
        UserError: If the log cannot be used, or the root is in use.
    """
    check_log(config, data_folder)
    paths = RunPaths(root.resolve(), config.name)
    source = spans.resolve(absolute_source(config, data_folder))
    fingerprint = log_fingerprint(source)
    log = paths.logs / f"{command}-{time.strftime('%Y-%m-%dT%H-%M-%S', time.gmtime())}.log"
    trainer = f"taskroute.pipeline.{command}.trainer"
    with locked(paths.lock), quiet(log, verbose=verbose) as console:
        try:
            console.print(f"[bold]{config.name}[/bold]  {heading}")
            data, rows = prepare(config, source, fingerprint, paths, console)
            counts = ", ".join(f"{count:,} {split}" for split, count in rows.items())
            console.print(f"  rows: {counts}")
            digests = digests_of(fingerprint, source.model_dump_json(), trainer)
            yield Session(paths.root / command, console, data, rows, digests)
        except Exception:
            traceback.print_exc()  # into the log
            raise
