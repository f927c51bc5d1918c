"""Means, spreads and differences as they stand in tables of 80 columns."""

import math
from collections.abc import Iterable
from statistics import stdev

from rich.console import Console
from rich.table import Table

from taskroute.pipeline.experiments.differences import NO_DIFFERENCE, Against

WIDTH = 80

# Of a metric between 0 and 1.
SHARE_DECIMALS = 4

_MARKS = {True: " *", False: " (*)"}


def decimals(value: float, digits: int) -> int:
    """Number of decimals that show so many digits of `value` >= 0; 4 for zero, 8 at most."""
    if value == 0:
        return 4
    return min(8, max(0, digits - 1 - math.floor(math.log10(value))))


def plain_table(first: str, *headers: str) -> Table:
    """Table without lines; names to the left, numbers to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True, max_width=15)
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def spread(values: Iterable[float | None]) -> float | None:
    """Standard deviation between the seeds that are known; None with fewer than two."""
    known = [value for value in values if value is not None]
    return stdev(known) if len(known) > 1 else None


def with_spread(mean: float | None, std: float | None, digits: int) -> str:
    """Mean ± standard deviation."""
    if mean is None:
        return "undefined"
    return f"{mean:.{digits}f}" + ("" if std is None else f" ± {std:.{digits}f}")


def difference(test: Against | None, digits: int) -> str:
    """A difference ± half of its interval, and a mark where it leaves 0 out."""
    if test is None:
        return ""
    mark = "" if test.verdict == NO_DIFFERENCE else _MARKS[test.holds]
    value = f"{test.difference:+.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return f"{value} ± {(test.high - test.low) / 2:.{digits}f}{mark:<4}"


def time_left(seconds: float) -> str:
    """Remaining time, in words."""
    return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"{seconds:.0f} s left"


def print_words(
    console: Console, notes: Iterable[str], findings: Iterable[str], warnings: Iterable[str]
) -> None:
    """Prints the text below tables: how to read them, findings, missing trials."""
    console.print()
    for line in notes:
        console.print(line, width=WIDTH, markup=False)
    console.print()
    for sentence in findings:
        console.print(f"- {sentence}", width=WIDTH, markup=False)
    for line in warnings:
        console.print(line, width=WIDTH, style="yellow", markup=False)
