"""Findings about the splits of a log and the labels in them."""

from collections.abc import Iterator, Mapping

from taskroute.components.logs.labels import LabelCounts
from taskroute.schemas.findings import Finding
from taskroute.schemas.log_splits import LogSplits
from taskroute.schemas.source import SPLITS, Split

# A split with more than this many times its share of the rows, or less than its inverse, is told.
_FAR = 1.5

_NEEDS_BOTH = {
    "validation": "its calibration is fitted on no other",
    "test": "it has no AUC",
}


def find_uneven_cut(split: Split, made: LogSplits, column: str | None) -> Iterator[Finding]:
    """Tells a split by time whose shares are far from those asked for."""
    if split.by != "time":
        return
    asked = {"train": 1 - split.validation - split.test, "validation": split.validation}
    if split.test:
        asked["test"] = split.test
    rows = {name: made.splits[name].rows for name in asked}
    total = sum(rows.values())
    ratios = [rows[name] / total / share for name, share in asked.items()]
    if max(ratios) <= _FAR and min(ratios) >= 1 / _FAR:
        return
    got = " / ".join(f"{count / total:.0%}" for count in rows.values())
    wanted = " / ".join(f"{share:.0%}" for share in asked.values())
    times = "time" if made.num_times == 1 else "times"
    yield Finding(
        kind="time",
        subject=column or "",
        sentence=f"the cut by '{column}': rows of one time stay together, and {made.num_times:,} "
        f"distinct {times} leave {got} of the rows for {' / '.join(asked)} where {wanted} is asked "
        "for; give finer timestamps, or `split.by: hash` with a key such as the user's column",
    )


def find_label_problems(counts: Mapping[str, Mapping[str, LabelCounts]]) -> Iterator[Finding]:
    """Tells labels that contradict their funnel, and tasks with one class outside the train split.

    Args:
        counts: Label counts by split and task.
    """
    for task in counts[SPLITS[0]]:
        whole = sum((of_split[task] for of_split in counts.values()), LabelCounts())
        if whole.contradictions:
            yield Finding(
                kind="labels",
                subject=task,
                sentence=f"task '{task}': its label is 1 in {whole.contradictions:,} rows where "
                "its `funnel` task's is 0, which no funnel allows; mend either column, or leave "
                "out `funnel`",
            )
        for split, use in _NEEDS_BOTH.items():
            count = counts[split][task]
            if count.values or not count.counted or (count.negatives and count.positives):
                continue
            yield Finding(
                kind="labels",
                subject=task,
                sentence=f"task '{task}': its label is {0 if count.negatives else 1} in each of "
                f"the {count.counted:,} {split} rows that count, and {use}; give "
                f"`source.split.{split}` a larger share",
            )
