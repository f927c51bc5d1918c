"""`taskroute tune`: data prepared once, the search, the finals, and the best config."""

import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from taskroute.pipeline.experiments.bench import Bench
from taskroute.pipeline.experiments.session import Session, check_request, session
from taskroute.pipeline.experiments.trial_file import TrialFile
from taskroute.pipeline.experiments.tune.best_config import best_config
from taskroute.pipeline.experiments.tune.finals import Final, choose, finalists, judge, run_finals
from taskroute.pipeline.experiments.tune.judging import Metrics, score
from taskroute.pipeline.experiments.tune.record import (
    MetricRecord,
    TuneRecord,
    comments,
    findings,
    metric_records,
)
from taskroute.pipeline.experiments.tune.search import Search, Searched, SearchTrial
from taskroute.pipeline.experiments.tune.tables import final_line, print_record, trial_line
from taskroute.pipeline.experiments.tune.trials import (
    OWN,
    TuneResult,
    TuneTrial,
    keeping_failures,
    measure,
)
from taskroute.schemas.errors import ConfigError
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig
from taskroute.schemas.tuning import Tuning, current_values
from taskroute.schemas.whole_files import write_whole


def tune(
    config: RecommenderConfig,
    path: Path,
    data_folder: Path,
    root: Path,
    *,
    num_seeds: int | None = None,
    budget_minutes: float | None = None,
    test: bool = False,
    verbose: bool = False,
) -> TuneRecord:
    """Searches for better settings, prints the findings, and writes them under ROOT/tune.

    Args:
        config: Config to tune; its `tuning` says what may change.
        path: File of the config.
        data_folder: Folder in which relative paths of the config's source start.
        root: The pipeline root, whose finished stages are reused.
        num_seeds: Further trainings of each finalist; those that the config names by default.
        budget_minutes: A training that would end later is not begun; None: no end.
        test: Whether the config as it is and the chosen trial are measured on the test split, too.
        verbose: Whether to let TensorFlow and Beam print.

    Raises:
        UserError: If the config or the log cannot be used.
    """
    started = time.monotonic()
    tuning = _tuning_of(config, path, num_seeds)
    best = root.resolve() / "tune" / "best.yaml"
    if path.resolve() == best:
        raise ConfigError(f"{path}: would be replaced by what is found; tune a copy of it")
    text = path.read_text(encoding="utf-8")  # now: it may be edited while trainings run
    ends_at = None if budget_minutes is None else started + 60 * budget_minutes
    heading = (
        f"{len(tuning.parameters)} parameters, {tuning.trials} trials, {len(config.tasks)} tasks"
    )
    with session("tune", config, data_folder, root, heading=heading, verbose=verbose) as opened:
        folder, console = opened.folder, opened.console
        work = _Work(opened, tuning, ends_at)
        record = work.run(test)
        record.write(folder)
        if record.chosen is not None:
            values, lines = record.chosen_values, comments(record, time.strftime("%Y-%m-%d"))
            content = best_config(text, path.parent, config, data_folder, values, lines)
            write_whole(best, content)
        else:
            best.unlink(missing_ok=True)  # of a search before this one
        print_record(record, console)
        names = "tune.json" if record.chosen is None else "best.yaml and tune.json"
        opened.say_files(names, started)
    return record


def _tuning_of(config: RecommenderConfig, path: Path, num_seeds: int | None) -> Tuning:
    if config.tuning is None:
        raise ConfigError(
            f"{path}: tuning: is missing; say there what may change, for example `tuning: "
            "{parameters: {training.learning_rate: {min: 0.0003, max: 0.003, scale: log}}}`"
        )
    check_request("tune", config, num_seeds)
    if config.trunk.needs_search:
        raise ConfigError(
            "trunk.route: mtnas is tuned by the route that a search found; search with `taskroute "
            "run`, then give its file as `trunk.route`"
        )
    if num_seeds is None:
        return config.tuning
    return config.tuning.model_copy(update={"final_seeds": num_seeds})


class _Work:
    """State that the parts of one call share."""

    def __init__(self, opened: Session, tuning: Tuning, ends_at: float | None):
        from taskroute.pipeline.experiments.worker import Worker

        self._session, self._tuning, self._console = opened, tuning, opened.console
        self._config = config = opened.config
        self._worker = Worker(config, opened.data, opened.folder / "training")
        first = config.training.seed + 1
        self._seeds = range(first, first + tuning.final_seeds)
        self._num_finals = (tuning.finalists + 1) * tuning.final_seeds
        self._bench = Bench(
            TrialFile(opened.folder / "trials.jsonl", TuneResult),
            keeping_failures(partial(self._measure, "validation")),
            max_examples=tuning.examples,
            ends_at=ends_at,
            clock=time.monotonic,
        )
        self._search = Search(config, tuning, opened.digests, self._bench)

    def run(self, test: bool) -> TuneRecord:
        """Runs search, finals and, if requested, the test split."""
        searched = self._run_search()
        finals: list[Final] = []
        ended_by = searched.ended_by
        if ended_by != "minutes":
            finals, spent = self._run_finals(searched)
            ended_by = spent or ended_by
        chosen = None if ended_by == "minutes" else choose(finals)
        metrics: list[MetricRecord] = []
        if chosen is not None:
            own = next(final for final in finals if final.number == OWN)
            kept = (*own.results.values(), *chosen.results.values())
            self._worker.keep_only({result.key for result in kept})
            if chosen is not own:
                values = searched.trials[chosen.number - 1].values
                metrics = self._metrics(own, chosen, values, test)
        return self._record(searched, finals, chosen, metrics, ended_by)

    def _run_search(self) -> Searched:
        best = float("-inf")
        total = self._tuning.trials

        def on_trial(trial: SearchTrial, reused: bool) -> None:
            nonlocal best
            is_best = not trial.against_it and (trial.score or 0.0) > best
            if is_best:
                best = trial.score or 0.0
            left = self._bench.mean_seconds() * (total - trial.number + self._num_finals)
            self._print(trial_line(trial, total, is_best=is_best, reused=reused, seconds_left=left))

        return self._search.run(on_trial, self._num_finals)

    def _run_finals(self, searched: Searched) -> tuple[list[Final], str | None]:
        best = finalists(searched.trials, self._tuning.finalists)
        if not best:
            return [], None
        names = ", ".join(str(each.number) for each in best)
        self._print(f"  finals: the config and trials {names}, {len(self._seeds)} further seeds")
        left = (len(best) + 1) * len(self._seeds)

        def on_result(trial: TuneTrial, result: TuneResult, reused: bool) -> None:
            nonlocal left
            left -= 1
            value = score(result.metrics, self._search.aims)
            seconds = self._bench.mean_seconds() * left
            self._print(final_line(trial, result, value, reused=reused, seconds_left=seconds))

        results, spent = run_finals(
            self._search, self._bench, [searched.trials[0], *best], self._seeds, on_result
        )
        if not results[OWN]:
            return [], spent
        confidence = self._config.evaluation.confidence
        return judge(self._search, results, self._tuning.constraints, confidence), spent

    def _metrics(
        self, own: Final, chosen: Final, values: Mapping[str, Any], test: bool
    ) -> list[MetricRecord]:
        """Metrics of objective and constraints, on validation and, if requested, on test."""
        aims = [(aim.task, aim.metric or "") for aim in self._search.aims]
        bounds = [(bound.task, bound.metric) for bound in self._tuning.constraints]
        named = list(dict.fromkeys([*aims, *bounds]))
        confidence = self._config.evaluation.confidence
        rows = metric_records("validation", own.metrics, chosen.metrics, named, confidence)
        if test:
            seeds = [*own.results]
            own_test = self._measure_test(OWN, {}, seeds)
            test_of_chosen = self._measure_test(chosen.number, values, seeds)
            rows += metric_records("test", own_test, test_of_chosen, named, confidence)
        return rows

    def _measure_test(
        self, number: int, values: Mapping[str, Any], seeds: Sequence[int]
    ) -> dict[int, Metrics]:
        """Metrics of a finalist by seed; a training without a checkpoint is trained again."""
        file = TrialFile(self._session.folder / "tests.jsonl", TuneResult)
        bench = Bench(file, partial(self._measure, "test"))
        trials = [self._search.trial(number, values, seed) for seed in seeds]
        return {trial.seed: bench.result(trial)[0].metrics for trial in trials}

    def _measure(self, split: str, trial: TuneTrial) -> TuneResult:
        is_final = trial.seed != self._config.training.seed
        prefix = "test, " if split == "test" else ""
        with self._console.status(f"{prefix}trial {trial.number}, seed {trial.seed}"):
            return measure(
                self._worker,
                trial,
                split,
                keep=is_final,
                logs=self._session.folder / "tensorboard",
                num_rows=self._session.rows["train"],
            )

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)

    def _record(
        self,
        searched: Searched,
        finals: list[Final],
        chosen: Final | None,
        metrics: list[MetricRecord],
        ended_by: str | None,
    ) -> TuneRecord:
        confidence = self._config.evaluation.confidence
        scores = {each.number: each.score for each in searched.trials}
        own = current_values(self._config.part(ModelConfig), self._tuning.parameters)
        return TuneRecord(
            name=self._config.name,
            objective=self._search.aims,
            tuning=self._tuning,
            confidence=confidence,
            own_values=json.loads(json.dumps(own)),
            tried=searched.trials,
            final_seeds=tuple(self._seeds),
            finals=tuple(finals),
            chosen=None if chosen is None else chosen.number,
            chosen_values=searched.trials[chosen.number - 1].values if chosen else {},
            metrics=tuple(metrics),
            findings=findings(finals, chosen, metrics, scores, ended_by, confidence),
            ended_by=ended_by,
            examples=self._bench.examples,
            **self._session.facts(),
        )
