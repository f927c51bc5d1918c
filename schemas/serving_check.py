"""File of a serving check, and the contract that a model is checked against."""

from typing import ClassVar, Literal

from pydantic import Field

from taskroute.schemas.base import Config
from taskroute.schemas.record import Record

OutputKind = Literal["binary", "regression", "score"]


class Contract(Config):
    """Outputs, batch sizes and accuracy that a served model must have."""

    outputs: dict[str, OutputKind]
    batch_sizes: tuple[int, ...]
    tolerance: float = Field(
        1e-5, description="Largest error of warm-up scores, relative to 1 or to the score."
    )
    xla: bool = Field(False, description="Whether the model may ask for XLA.")
    signatures: tuple[str, ...] = ("serving_default", "raw_features", "transformed_features")
    gpu_signature: str = "transformed_features"


class Check(Config):
    """Result of one check; `detail` explains a failure."""

    name: str
    passed: bool
    detail: str


class Latency(Config):
    """Percentiles of the time of one call on this machine, one call at a time."""

    signature: str
    batch_size: int
    calls: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class ServingFindings(Config):
    """Checks, latencies and facts of an exported model."""

    checks: tuple[Check, ...]
    latency: tuple[Latency, ...] = ()
    facts: dict[str, str | int | float] = {}


class ServingReport(ServingFindings, Record):
    """Findings of ServingCheck, in its blessing."""

    FILE: ClassVar[str] = "serving_check.json"

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def summary(self) -> str:
        """Failed checks in words, or that every check passed."""
        failed = [f"{check.name}: {check.detail}" for check in self.checks if not check.passed]
        return "; ".join(failed) or "every check passed"
