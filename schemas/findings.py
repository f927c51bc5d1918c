"""Findings about the data of a run: told to a person, and no reason to stop."""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

from taskroute.schemas.base import Config
from taskroute.schemas.record import Record

# Lines that a person reads of one kind.
_MOST_LINES = 10

FindingKind = Literal[
    "dead_feature",  # a feature that says the same of nearly every row
    "leak",  # a column that alone decides a task
    "missing_column",
    "names",
    "terms",  # one id that is written in two ways
    "labels",
    "time",
    "sizes",
]


class Finding(Config):
    """One finding.

    Attributes:
        kind: Kind of the finding.
        subject: Name of the column, feature or task that it is about.
        sentence: Description, with the remedy.
    """

    kind: FindingKind
    subject: str
    sentence: str


class Findings(Record):
    """Findings of one stage, in the folder of its output."""

    FILE: ClassVar[str] = "findings.json"

    findings: tuple[Finding, ...] = ()


def shorten(findings: Sequence[Finding]) -> list[Finding]:
    """Merges those of one kind that are too many to read: the last line names the rest."""
    if len(findings) <= _MOST_LINES:
        return list(findings)
    kept, rest = findings[: _MOST_LINES - 1], findings[_MOST_LINES - 1 :]
    names = ", ".join(f"'{finding.subject}'" for finding in rest)
    return [*kept, rest[0].model_copy(update={"sentence": f"{names}: the like of the lines above"})]


def without_repeats(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings without dead features whose column is told as missing already."""
    findings = tuple(findings)
    missing = {finding.subject for finding in findings if finding.kind == "missing_column"}
    return tuple(
        finding
        for finding in findings
        if finding.kind != "dead_feature" or finding.subject not in missing
    )
