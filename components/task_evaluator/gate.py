"""The decision over a candidate, and the two files that record an evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import FiniteFloat, NonNegativeFloat, NonNegativeInt, ValidationError

from taskroute.components.task_evaluator.metrics import TaskMetrics
from taskroute.schemas.base import Config
from taskroute.schemas.errors import DataError
from taskroute.schemas.recommender import Gate

METRICS_FILE = "metrics.json"
VERDICT_FILE = "verdict.json"


class GateVerdict(Config):
    """What one gate says. `value` is None where the metric is undefined."""

    task: str
    metric: str
    value: FiniteFloat | None
    rule: str
    passed: bool
    reason: str


class Verdict(Config):
    """Whether the candidate may be served, and why."""

    blessed: bool
    summary: str
    gates: tuple[GateVerdict, ...]


class Measurements(Config):
    """What was measured on one split, and how long that took."""

    split: str
    num_examples: NonNegativeInt
    seconds: NonNegativeFloat
    tasks: dict[str, TaskMetrics]


def judge(gates: Sequence[Gate], tasks: Mapping[str, TaskMetrics]) -> Verdict:
    """Holds every gate against what was measured; all must pass.

    Args:
        gates: Bounds on metrics, whose tasks are keys of `tasks`.
        tasks: Metrics by task.
    """
    verdicts = tuple(_judge_gate(gate, tasks[gate.task]) for gate in gates)
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if not verdicts:
        summary = "no gates: blessed unconditionally"
    elif not failed:
        summary = f"all gates passed ({len(verdicts)})"
    else:
        first = f"{failed[0].task} {failed[0].metric}: {failed[0].reason}"
        summary = f"gates failed ({len(failed)} of {len(verdicts)}); {first}"
    return Verdict(blessed=not failed, summary=summary, gates=verdicts)


def _judge_gate(gate: Gate, metrics: TaskMetrics) -> GateVerdict:
    value = metrics.values.get(gate.metric)
    rule, passed = _hold(gate, value)
    if value is None:
        why = metrics.undefined.get(gate.metric, f"{metrics.kind} tasks do not have it")
        reason = f"{gate.metric} is undefined: {why}"
    else:
        reason = f"{value:.9g} is {'' if passed else 'not '}{rule}"
    return GateVerdict(
        task=gate.task, metric=gate.metric, value=value, rule=rule, passed=passed, reason=reason
    )


def _hold(gate: Gate, value: float | None) -> tuple[str, bool]:
    """The gate's rule in words, and whether the value keeps it; no value keeps no rule."""
    if gate.at_least is not None:
        return f"at least {gate.at_least}", value is not None and value >= gate.at_least
    if gate.at_most is not None:
        return f"at most {gate.at_most}", value is not None and value <= gate.at_most
    raise ValueError(f"a gate must have a bound. Received: {gate!r}")


def write_evaluation(folder: str | Path, measurements: Measurements, verdict: Verdict) -> None:
    """Writes metrics.json and verdict.json into a folder, which is made where it lacks."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, record in ((METRICS_FILE, measurements), (VERDICT_FILE, verdict)):
        (folder / name).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_evaluation(folder: str | Path) -> tuple[Measurements, Verdict]:
    """Reads what `write_evaluation` wrote.

    Raises:
        DataError: If one of the files is missing or is not such a record.
    """
    folder = Path(folder)
    return _read(folder / METRICS_FILE, Measurements), _read(folder / VERDICT_FILE, Verdict)


_Record = TypeVar("_Record", Measurements, Verdict)


def _read(path: Path, kind: type[_Record]) -> _Record:
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}; run the evaluation again"
        ) from None
    except ValidationError:
        raise DataError(
            f"{path}: is not the record of an evaluation; run the evaluation again"
        ) from None
