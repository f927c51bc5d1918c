"""`taskroute demo`: a log whose truth is known, through the whole pipeline."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

import numpy as np

from taskroute.components.logs import splits
from taskroute.components.logs.timestamps import to_seconds
from taskroute.pipeline.run.run import run
from taskroute.pipeline.sample_log.best_auc import best_auc
from taskroute.pipeline.sample_log.sample_files import write_sample_log
from taskroute.pipeline.sample_log.sample_log import SampleLog, SampleLogSpec, make_sample_log
from taskroute.schemas.recommender import RecommenderConfig, load_config
from taskroute.schemas.run_record import RunRecord
from taskroute.schemas.source import SPLITS


def run_demo(
    root: Path,
    *,
    num_rows: int,
    relatedness: float,
    seed: int,
    log_format: Literal["parquet", "csv"],
    verbose: bool,
) -> RunRecord:
    """Makes the log under `root`, runs `examples/demo.yaml` on it, prints the best AUC beside.

    The log is `root`/demo.parquet, where the example finds it with `--data`. An equal file is
    kept, so that a second demo reuses every stage.
    """
    with as_file(files("taskroute.examples") / "demo.yaml") as path:
        config = load_config(path)
    log = make_sample_log(SampleLogSpec(num_rows=num_rows, relatedness=relatedness, seed=seed))
    source = config.source.model_copy(
        update={"path": f"{config.name}.{log_format}", "format": log_format}
    )
    write_sample_log(log, root / source.path, log_format)
    config = config.model_copy(update={"source": source})
    return run(config, root, root, verbose=verbose, best_aucs=best_test_aucs(config, log))


def best_test_aucs(config: RecommenderConfig, log: SampleLog) -> dict[str, float]:
    """AUC of the true probabilities on the test split, by binary task."""
    split = config.source.split
    seconds = to_seconds(log.table[config.source.timestamp].combine_chunks())
    cutoffs = splits.find_cutoffs(
        *np.unique(seconds, return_counts=True), split.validation, split.test
    )
    if cutoffs is None:
        return {}
    rows = np.flatnonzero(splits.split_by_time(seconds, cutoffs) == SPLITS.index("test"))
    return {name: best_auc(log, name, rows) for name in log.true_probabilities}
