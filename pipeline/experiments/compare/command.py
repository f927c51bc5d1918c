"""`taskroute compare`: data once, every trunk with every seed, and what that shows."""

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from taskroute.pipeline.experiments.compare import summary
from taskroute.pipeline.experiments.compare.candidates import choose
from taskroute.pipeline.experiments.compare.figure import draw
from taskroute.pipeline.experiments.compare.summary import Comparison
from taskroute.pipeline.experiments.compare.tables import print_comparison, write_csv
from taskroute.pipeline.experiments.compare.trials import (
    Outcome,
    Progress,
    Trial,
    TrialResult,
    missing_seeds,
    run_trials,
)
from taskroute.pipeline.experiments.trials.cells import time_left
from taskroute.pipeline.experiments.trials.keys import trial_key
from taskroute.pipeline.experiments.trials.session import check_request, session
from taskroute.pipeline.experiments.trials.shared_data import SharedData
from taskroute.pipeline.experiments.trials.trial_file import TrialFile
from taskroute.pipeline.run.report import package_versions
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig
from taskroute.schemas.trunks import Trunk
from taskroute.schemas.whole_files import write_whole

Match = Literal["parameters", "none"]


def compare(
    config: RecommenderConfig,
    data_folder: Path,
    root: Path,
    *,
    trunks: Sequence[str] = (),
    num_seeds: int = 5,
    match: Match = "parameters",
    budget_minutes: float | None = None,
    verbose: bool = False,
) -> Comparison:
    """Compares trunks on the same rows, prints what shows, and writes it under ROOT/compare.

    Args:
        config: What to learn; its trunk is one of the compared, or the size to match.
        data_folder: Where relative paths of the config's source start.
        root: The pipeline root, whose finished stages are reused.
        trunks: Kinds of trunk; none: single_task, shared_bottom and the config's own.
        num_seeds: Trainings of each, by the config's seed and those after it.
        match: Whether the trunks get the widths by which all are of the same size.
        budget_minutes: A trial that would end later is not begun; None: no end.
        verbose: Whether to let TensorFlow and Beam print.

    Raises:
        UserError: If a trunk, the seeds or the log cannot be used.
    """
    started = time.monotonic()
    chosen = choose(config, trunks)
    check_request("compare", config, num_seeds)
    heading = f"{len(chosen)} trunks, {num_seeds} seeds, {len(config.tasks)} tasks"
    with session("compare", config, data_folder, root, heading=heading, verbose=verbose) as opened:
        trials = make_trials(config, chosen, opened.data, num_seeds, match, opened.digests)
        outcome, latencies = _measure(
            config, trials, opened.data, opened.folder, opened.console, started, budget_minutes
        )
        comparison = summarize(
            config,
            trials,
            outcome,
            latencies,
            match=match,
            rows=opened.rows,
            data_digest=opened.digests["data"],
            code=opened.digests["code"],
        )
        write(comparison, opened.folder)
        print_comparison(comparison, opened.console)
        opened.say_files("compare.json, compare.csv and compare.svg", started)
    return comparison


def make_trials(
    config: RecommenderConfig,
    chosen: Mapping[str, Trunk],
    data: SharedData,
    num_seeds: int,
    match: Match,
    digests: Mapping[str, str],
) -> list[Trial]:
    """Every trunk with one seed, then with the next: what a budget cuts off stays paired."""
    model = config.part(ModelConfig)
    if match == "parameters":
        from taskroute.pipeline.experiments.compare.matching import matched
        from taskroute.pipeline.experiments.trials.training import input_width

        chosen = matched(chosen, model, input_width(model, data))
    trials = []
    for seed in range(config.training.seed, config.training.seed + num_seeds):
        training = config.training.model_copy(update={"seed": seed})
        for name, trunk in chosen.items():
            update = {"trunk": trunk, "training": training}
            trial = model.model_copy(update=update)
            key = trial_key(trial, config, digests)
            trials.append(Trial(name, seed, trial, key))
    return trials


def _measure(
    config: RecommenderConfig,
    trials: Sequence[Trial],
    data: SharedData,
    folder: Path,
    console: Console,
    started: float,
    budget_minutes: float | None,
) -> tuple[Outcome, dict[str, float]]:
    """Trains what is missing, and times what the first seed of every trunk has left."""
    from taskroute.pipeline.experiments.compare.latency import median_latency
    from taskroute.pipeline.experiments.compare.trainer import Trainer

    status = console.status("")
    models, checkpoints = folder / "models", folder / "training"
    trainer = Trainer(config, data, models, checkpoints, first_seed=trials[0].seed)

    def train(trial: Trial) -> TrialResult:
        status.update(f"{trial.trunk}, seed {trial.seed}")
        status.start()
        try:
            return trainer.train(trial)
        finally:
            status.stop()

    file = TrialFile(folder / "trials.jsonl", TrialResult)
    reused = sum(file.find(trial.key) is not None for trial in trials)
    console.print(f"  {len(trials)} trials, {reused} of them finished before")
    outcome = run_trials(
        trials,
        file,
        train,
        lambda progress: console.print(trial_line(progress), markup=False),
        ends_at=None if budget_minutes is None else started + 60 * budget_minutes,
    )
    first = {trial.trunk: models / trial.key for trial in trials if (models / trial.key).exists()}
    for made in models.glob("*"):
        if made not in first.values():
            shutil.rmtree(made)  # of a comparison before this one
    return outcome, _latencies(first, folder / "latency.json", median_latency)


def _latencies(
    models: Mapping[str, Path],
    path: Path,
    measure: Callable[[Mapping[str, Path]], dict[str, float]],
) -> dict[str, float]:
    """Measured anew only where the models are others: side by side, or not comparable."""
    keys = {name: folder.name for name, folder in models.items()}
    if path.exists():
        held = json.loads(path.read_text(encoding="utf-8"))
        if held["models"] == keys:
            known: dict[str, float] = held["p50_ms"]
            return known
    found = measure(models)
    write_whole(path, json.dumps({"models": keys, "p50_ms": found}, indent=1) + "\n")
    return found


def trial_line(progress: Progress) -> str:
    """One line on a trial that has ended."""
    result = progress.result
    left = time_left(progress.seconds_left) if progress.number < progress.total else ""
    return (
        f"  {progress.number:>3}/{progress.total:<3} {result.trunk:<14}seed {result.seed:<5}"
        f"{result.epochs:>3} epochs{result.seconds:>8.1f}s   {left}"
    ).rstrip()


def summarize(
    config: RecommenderConfig,
    trials: Sequence[Trial],
    outcome: Outcome,
    latencies: Mapping[str, float],
    *,
    match: Match,
    rows: Mapping[str, int],
    data_digest: str = "",
    code: str = "",
) -> Comparison:
    """All that was found, for `compare.json`."""
    trunks = {trial.trunk: trial.config.trunk for trial in trials}
    confidence = config.evaluation.confidence
    measured = summary.measured(
        outcome.results,
        list(trunks),
        config.tasks,
        has_key=config.evaluation.group_key is not None,
        confidence=confidence,
    )
    return Comparison(
        name=config.name,
        match={"parameters": "parameters matched", "none": "as configured"}[match],
        confidence=confidence,
        seeds=tuple(dict.fromkeys(trial.seed for trial in trials)),
        rows=dict(rows),
        latency_rows=config.serving.batch_sizes[-1],
        measured=measured,
        costs=summary.costs(outcome.results, list(trunks), latencies),
        num_tests=sum(len(row.against) for row in measured),
        findings=(
            *summary.diverged(outcome.results),
            *summary.findings(measured, summary.few_rows(outcome.results), confidence),
        ),
        missing=dict(missing_seeds(outcome.missing)),
        trunks={name: trunk.model_dump(mode="json") for name, trunk in trunks.items()},
        code_digest=code,
        data_digest=data_digest,
        machine=f"{platform.machine()}, {os.cpu_count()} CPUs",
        versions=package_versions(),
    )


def write(comparison: Comparison, folder: Path) -> None:
    """Writes `compare.json`, `compare.csv` and `compare.svg`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "compare.json", comparison.model_dump_json(indent=1) + "\n")
    write_csv(comparison, folder / "compare.csv")
    write_whole(folder / "compare.svg", draw(comparison))
