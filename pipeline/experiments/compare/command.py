"""`taskroute compare`: data prepared once, every trunk trained with every seed, findings."""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from taskroute.pipeline.experiments.bench import Bench
from taskroute.pipeline.experiments.cells import time_left
from taskroute.pipeline.experiments.compare import summary
from taskroute.pipeline.experiments.compare.candidates import choose
from taskroute.pipeline.experiments.compare.figure import draw
from taskroute.pipeline.experiments.compare.summary import Comparison
from taskroute.pipeline.experiments.compare.tables import print_comparison, write_csv
from taskroute.pipeline.experiments.compare.trials import TrunkResult, trainer
from taskroute.pipeline.experiments.keys import trial_key
from taskroute.pipeline.experiments.session import Session, check_request, session
from taskroute.pipeline.experiments.shared_data import SharedData
from taskroute.pipeline.experiments.trial import Trial
from taskroute.pipeline.experiments.trial_file import TrialFile
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
    """Compares trunks on the same rows, prints the findings, and writes them under ROOT/compare.

    Args:
        config: Config of the comparison; its trunk is one of the compared, or the size to match.
        data_folder: Folder in which relative paths of the config's source start.
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
        ends_at = None if budget_minutes is None else started + 60 * budget_minutes
        results, latencies = _measure(opened, trials, ends_at)
        comparison = summarize(
            config, trials, results, latencies, match=match, facts=opened.facts()
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
    """Trials by seed, then by trunk: if a budget cuts them off, the rest stays paired."""
    model = config.part(ModelConfig)
    if match == "parameters":
        from taskroute.pipeline.experiments.compare.matching import input_width, matched

        width = input_width(model, data.training.ids(model).number)
        chosen = matched(chosen, model, width)
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
    opened: Session, trials: Sequence[Trial], ends_at: float | None
) -> tuple[list[TrunkResult], dict[str, float]]:
    """Runs missing trials, and times the models that the first seed exported."""
    from taskroute.pipeline.experiments.compare.latency import median_latency

    folder, console = opened.folder, opened.console
    train = trainer(opened.config, opened.data, folder, trials[0].seed)

    def train_with_status(trial: Trial) -> TrunkResult:
        with console.status(f"{trial.name}, seed {trial.seed}"):
            return train(trial)

    file = TrialFile(folder / "trials.jsonl", TrunkResult)
    bench = Bench(file, train_with_status, ends_at=ends_at)
    reused = sum(bench.find(trial) is not None for trial in trials)
    console.print(f"  {len(trials)} trials, {reused} of them finished before")

    def on_finish(result: TrunkResult, number: int, seconds_left: float) -> None:
        console.print(trial_line(result, number, len(trials), seconds_left), markup=False)

    results = bench.run_all(trials, on_finish)
    models = folder / "models"
    first = {trial.name: models / trial.key for trial in trials if (models / trial.key).exists()}
    for made in models.glob("*"):
        if made not in first.values():
            shutil.rmtree(made)  # of a comparison before this one
    return results, _latencies(first, folder / "latency.json", median_latency)


def _latencies(
    models: Mapping[str, Path],
    path: Path,
    measure: Callable[[Mapping[str, Path]], dict[str, float]],
) -> dict[str, float]:
    """Latencies by trunk, all measured anew if any model differs: only so they compare."""
    keys = {name: folder.name for name, folder in models.items()}
    if path.exists():
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["models"] == keys:
            latencies: dict[str, float] = record["p50_ms"]
            return latencies
    latencies = measure(models)
    write_whole(path, json.dumps({"models": keys, "p50_ms": latencies}, indent=1) + "\n")
    return latencies


def trial_line(result: TrunkResult, number: int, total: int, seconds_left: float) -> str:
    """Line on a finished trial."""
    left = time_left(seconds_left) if number < total else ""
    return (
        f"  {number:>3}/{total:<3} {result.trunk:<14}seed {result.seed:<5}"
        f"{result.epochs:>3} epochs{result.seconds:>8.1f}s   {left}"
    ).rstrip()


def summarize(
    config: RecommenderConfig,
    trials: Sequence[Trial],
    results: Sequence[TrunkResult],
    latencies: Mapping[str, float],
    *,
    match: Match,
    facts: Mapping[str, Any],
) -> Comparison:
    """Content of `compare.json`.

    Args:
        config: Config of the comparison.
        trials: Planned trials, in the order of their trunks.
        results: Results of those within the budget.
        latencies: Milliseconds of a request, by trunk.
        match: Method by which the trunks were made alike.
        facts: Facts of the session.
    """
    trunks = {trial.name: trial.config.trunk for trial in trials}
    confidence = config.evaluation.confidence
    rows = summary.measured(
        results,
        list(trunks),
        config.tasks,
        has_key=config.evaluation.group_key is not None,
        confidence=confidence,
    )
    ended = {result.key for result in results}
    missing: dict[str, list[int]] = {}
    for trial in trials:
        if trial.key not in ended:
            missing.setdefault(trial.name, []).append(trial.seed)
    return Comparison(
        name=config.name,
        match={"parameters": "parameters matched", "none": "as configured"}[match],
        confidence=confidence,
        seeds=tuple(dict.fromkeys(trial.seed for trial in trials)),
        latency_rows=config.serving.batch_sizes[-1],
        measured=rows,
        costs=summary.costs(results, list(trunks), latencies),
        num_tests=sum(len(row.against) for row in rows),
        findings=(
            *summary.diverged(results),
            *summary.findings(rows, summary.few_rows(results), confidence),
        ),
        missing=missing,
        trunks={name: trunk.model_dump(mode="json") for name, trunk in trunks.items()},
        **facts,
    )


def write(comparison: Comparison, folder: Path) -> None:
    """Writes `compare.json`, `compare.csv` and `compare.svg`."""
    comparison.write(folder)
    write_csv(comparison, folder / "compare.csv")
    write_whole(folder / "compare.svg", draw(comparison))
