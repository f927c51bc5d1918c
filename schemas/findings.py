"""Findings about the data of a run: told to a person, and no reason to stop."""

from typing import ClassVar, Literal

from taskroute.schemas.base import Config
from taskroute.schemas.record import Record

FindingKind = Literal[
    "dead_feature",  # a feature that says the same of nearly every row
    "leak",  # a column that alone decides a task
    "missing_column",
    "names",
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
