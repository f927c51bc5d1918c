"""A search on a screen of 80 columns: a line a trial, and the tables at its end."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from taskroute.pipeline.experiments.cells import (
    SHARE_DECIMALS,
    WIDTH,
    decimals,
    difference,
    plain_table,
    print_words,
    spread,
    time_left,
    with_spread,
)
from taskroute.pipeline.experiments.tune.judging import mean
from taskroute.pipeline.experiments.tune.record import MetricRecord, TuneRecord, objective
from taskroute.pipeline.experiments.tune.search import EXHAUSTED, SearchTrial
from taskroute.pipeline.experiments.tune.trials import OWN, TuneResult, TuneTrial

_SHOWN_TRIALS = 5


def trial_line(
    trial: SearchTrial, total: int, *, is_best: bool, reused: bool, seconds_left: float
) -> str:
    """One line on a trial of the search."""
    head = f"  {trial.number:>3}/{total:<3} "
    if trial.against_it and trial.number != OWN:
        return shortened(head + trial.against_it[0])
    what = "the config" if trial.number == OWN else "best" if is_best else ""
    return f"{head}{shown(trial.score):>9}  {what:<11}{_effort(trial.result)}" + _left(
        reused, seconds_left
    )


def final_line(
    trial: TuneTrial, result: TuneResult, score: float | None, *, reused: bool, seconds_left: float
) -> str:
    """One line on a training of a finalist."""
    head = f"  {trial.name:<9}seed {trial.seed:<5}"
    if result.problem:
        return shortened(head + result.problem)
    return f"{head}{shown(score):>9}  {_effort(result)}" + _left(reused, seconds_left)


def shown(value: float | None) -> str:
    """Score with as many decimals as tell one from another."""
    if value is None:
        return "undefined"
    return f"{value:.{max(SHARE_DECIMALS, decimals(abs(value), 4))}f}"


def shortened(line: str) -> str:
    """Shortens a line to fit the screen."""
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def _effort(result: TuneResult | None) -> str:
    return f"{result.epochs:>3} epochs{result.seconds:>8.1f}s" if result else ""


def _left(reused: bool, seconds: float) -> str:
    if reused:
        return "   reused"
    if seconds <= 0:
        return ""
    return f"   {time_left(seconds)}"


def print_record(record: TuneRecord, console: Console) -> None:
    """Prints the best trials, the choice, and the findings."""
    console.print()
    console.print(_trial_table(record))
    for split in dict.fromkeys(row.split for row in record.metrics):
        rows = [row for row in record.metrics if row.split == split]
        console.print()
        console.print(_metric_table(split, rows, record.chosen or OWN))
    if record.chosen not in (None, OWN):
        console.print()
        console.print(_value_table(record.own_values, record.chosen_values, record))
    print_words(console, notes(record), record.findings, unfinished(record))


def notes(record: TuneRecord) -> list[str]:
    """Notes on reading the tables."""
    lines = [f"objective: {objective(record)}."]
    if record.finals:
        lines.append(
            "over seeds: mean ± standard deviation, on the validation split; less the config: mean "
            f"of the differences, paired by seed, ± half of their {record.confidence:.0%} "
            "interval; * leaves 0 out, also after Holm's correction; (*) only before it."
        )
    return lines


def unfinished(record: TuneRecord) -> list[str]:
    """Lines on work that is left, if any."""
    match record.ended_by:
        case "minutes":
            return [
                f"the minutes are used up after {len(record.tried)} trials; the same command goes "
                "on from here."
            ]
        case "examples":
            return [
                f"the budget of examples is used up after {len(record.tried)} trials; raise "
                "`tuning.examples` to go on."
            ]
        case str(reason) if reason == EXHAUSTED:
            return [f"the ranges hold no more than {len(record.tried)} trials."]
    return []


def _trial_table(record: TuneRecord) -> Table:
    """Config and the best trials, those of the finals first."""
    table = plain_table("trial", "search", "over seeds", "less config", "epochs", "s")
    finals = {final.number: final for final in record.finals}

    def order(trial: SearchTrial) -> tuple[bool, float, float]:
        final = finals.get(trial.number)
        final_mean = final.mean if final and final.mean is not None else -1e9
        return trial.number != OWN, -final_mean, -(trial.score or 0.0)

    allowed = [each for each in record.tried if not each.against_it or each.number == OWN]
    shown_trials = sorted(allowed, key=order)
    for trial in shown_trials[: max(_SHOWN_TRIALS, len(finals))]:
        final = finals.get(trial.number)
        name = "config" if trial.number == OWN else str(trial.number)
        table.add_row(
            f"{name} <" if trial.number == record.chosen else name,
            shown(trial.score),
            with_spread(final.mean, final.std, SHARE_DECIMALS) if final else "",
            difference(final.against_own, SHARE_DECIMALS) if final else "",
            str(trial.result.epochs if trial.result else 0),
            f"{trial.result.seconds if trial.result else 0:.0f}",
        )
    return table


def _metric_table(split: str, rows: Sequence[MetricRecord], chosen: int) -> Table:
    name = "config" if chosen == OWN else f"trial {chosen}"
    table = plain_table(split, "", "config", name, "difference")
    for row in rows:
        own, ours = mean(row.own_by_seed.values()), mean(row.chosen_by_seed.values())
        digits = SHARE_DECIMALS if abs(own or 0.0) < 10 else 2
        table.add_row(
            row.task,
            row.metric,
            with_spread(own, spread(row.own_by_seed.values()), digits),
            with_spread(ours, spread(row.chosen_by_seed.values()), digits),
            difference(row.against_own, digits),
        )
    return table


def _value_table(own: Mapping[str, Any], chosen: Mapping[str, Any], record: TuneRecord) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("parameter", max_width=34, overflow="ellipsis", no_wrap=True)
    for header in ("config", f"trial {record.chosen}"):
        table.add_column(header, max_width=20, overflow="ellipsis", no_wrap=True)
    for path in chosen:
        table.add_row(path, _written(own[path]), _written(chosen[path]))
    return table


def _written(value: Any) -> str:
    """Value as a config would have it; of a section, its kind first."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        value = dict(sorted(value.items(), key=lambda item: item[0] != "kind"))
    written = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)
    return written.removesuffix("\n...\n").strip()
