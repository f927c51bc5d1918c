"""Comparison on a screen of 80 columns, and as CSV."""

import csv
import io
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table

from taskroute.pipeline.experiments.cells import (
    SHARE_DECIMALS,
    decimals,
    difference,
    plain_table,
    print_words,
    with_spread,
)
from taskroute.pipeline.experiments.compare.candidates import REFERENCES
from taskroute.pipeline.experiments.compare.summary import LABELS, Comparison, Measured
from taskroute.schemas.whole_files import write_whole


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Prints a table for each task and metric, the costs, and the findings."""
    for (task, metric), rows in groupby(comparison.measured, lambda row: (row.task, row.metric)):
        console.print()
        console.print(_metric_table(task, metric, list(rows)))
    console.print()
    console.print(_cost_table(comparison))
    print_words(console, notes(comparison), comparison.findings, missing_lines(comparison))


def notes(comparison: Comparison) -> list[str]:
    """Notes on reading the tables."""
    lines = ["mean ± standard deviation between seeds, on the test split."]
    if comparison.num_tests:
        lines.append(
            f"less a reference: mean of the differences, paired by seed, ± half of their "
            f"{comparison.confidence:.0%} interval; * leaves 0 out, also after Holm's correction "
            f"for {comparison.num_tests} tests; (*) only before it."
        )
    lines.append(
        f"p50: median time of a request of {comparison.latency_rows:,} rows, closed routes removed."
    )
    untimed = [cost.trunk for cost in comparison.costs if cost.latency_ms is None]
    if untimed:
        lines.append(
            f"not timed: {', '.join(untimed)}, whose first seed was trained by a comparison before "
            "this one; take its line out of trials.jsonl to have it trained and timed."
        )
    return lines


def missing_lines(comparison: Comparison) -> list[str]:
    """Lines on trials that the budget left out, if any."""
    if not comparison.missing:
        return []
    lacks = "; ".join(
        f"{trunk}: seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        for trunk, seeds in comparison.missing.items()
    )
    return [f"the budget is used up; still to train: {lacks}. The same command goes on from here."]


def write_csv(comparison: Comparison, path: Path) -> None:
    """Writes a line for each trunk, task and metric: mean, spread, costs and tests."""
    costs = {cost.trunk: cost for cost in comparison.costs}
    cost_fields = ("trunk_parameters", "parameters", "served_parameters", "macs", "served_macs")
    test_fields = ("difference", "low", "high", "p_value", "holm_p_value", "verdict")
    header = ["task", "metric", "trunk", "num_seeds", "mean", "std", *cost_fields, "latency_ms"]
    header += [f"{field}_to_{reference}" for reference in REFERENCES for field in test_fields]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in comparison.measured:
        cost = costs.get(row.trunk)
        num_seeds = sum(value is not None for value in row.by_seed.values())
        cells = [row.task, row.metric, row.trunk, num_seeds, row.mean, row.std]
        cells += [cost and getattr(cost, field) for field in (*cost_fields, "latency_ms")]
        tests = {test.reference: test for test in row.against}
        for reference in REFERENCES:
            test = tests.get(reference)
            cells += [test and getattr(test, field) for field in test_fields]
        writer.writerow(cells)
    write_whole(path, text.getvalue())


def _metric_table(task: str, metric: str, rows: list[Measured]) -> Table:
    table = plain_table(task, LABELS[metric])
    trunks = [row.trunk for row in rows]
    references = [name for name in REFERENCES if name in trunks]
    for reference in references:
        table.add_column(f"less {reference}", justify="right", no_wrap=True)
    digits = _digits(metric, rows)
    for row in rows:
        cells = [with_spread(row.mean, row.std, digits)]
        tests = {test.reference: test for test in row.against}
        cells += [difference(tests.get(reference), digits) for reference in references]
        table.add_row(row.trunk, *cells)
    return table


def _digits(metric: str, rows: list[Measured]) -> int:
    """Decimals that show four digits of a mean and two of a spread, where six of a mean do."""
    means = [abs(row.mean) for row in rows if row.mean is not None]
    if metric != "mae" or not means:
        return SHARE_DECIMALS
    spreads = [decimals(row.std, 2) for row in rows if row.std]
    return min(decimals(min(means), 6), max(decimals(min(means), 4), *spreads, 0))


def _cost_table(comparison: Comparison) -> Table:
    table = plain_table(
        "cost", "seeds", "epochs", "parameters", "in trunk", "MACs", "served", "p50 ms"
    )
    table.add_column("s", justify="right")
    for cost in comparison.costs:
        table.add_row(
            cost.trunk,
            str(cost.num_seeds),
            f"{cost.epochs:.1f}",
            _count(cost.parameters),
            _count(cost.trunk_parameters),
            _count(cost.macs),
            _count(cost.served_macs),
            "" if cost.latency_ms is None else f"{cost.latency_ms:.2f}",
            f"{cost.seconds:.0f}",
        )
    return table


def _count(value: float) -> str:
    return f"{value:,.0f}" if value < 1e6 else f"{value / 1e6:,.2f}M"
