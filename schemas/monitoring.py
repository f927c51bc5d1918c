"""Limits of changes: of the log, and of the served model's predictions on it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, PositiveFloat

from taskroute.schemas.base import Column, Config, Name
from taskroute.schemas.features import Feature, IdFeature, ids_owner
from taskroute.schemas.tasks import Task

# drift: newest span from those before. split_shift: test split from train split. skew: serving log
# from log, which the field calls training-serving skew.
ColumnSignal = Literal["drift", "split_shift", "skew", "missing", "oov", "label_delay"]
TaskSignal = Literal["label_rate", "prediction_mean", "prediction_drift", "calibration"]
Signal = ColumnSignal | TaskSignal

COLUMN_SIGNALS: tuple[ColumnSignal, ...] = get_args(ColumnSignal)
_SIGNALS: tuple[Signal, ...] = (*COLUMN_SIGNALS, *get_args(TaskSignal))

# Signals that need no second span: they compare splits, or a serving log.
_WITHOUT_SPANS = ("split_shift", "skew", "missing")


class Limit(Config):
    """Threshold of a change; a bare number alerts and does not stop the run."""

    threshold: PositiveFloat = Field(description="Size above which a change alerts.")
    stop: bool = Field(
        False, description="Whether the alert ends the run before training: exit code 3."
    )


def _as_limit(value: Any) -> Any:
    return value if isinstance(value, Limit | dict) else {"threshold": value}


_Limit = Annotated[Limit, BeforeValidator(_as_limit, json_schema_input_type=PositiveFloat | Limit)]


def _alerts_above(threshold: float, description: str) -> Any:
    return Field(threshold, validate_default=True, description=description)


class Monitoring(Config):
    """Limits of changes; a change beyond one alerts, and stops the run if the limit says so.

    A change compares the newest span with earlier ones in the window, the test split with the
    train split, or a serving log with the window. None watches nothing. A threshold is added to
    the ordinary differences between spans, and to the interval of chance: see
    `taskroute.components.measures.judge`.
    """

    drift: _Limit | None = _alerts_above(
        0.02,
        "Jensen-Shannon divergence of a feature's values, newest span from older ones, 0 to 1.",
    )
    split_shift: _Limit | None = Field(
        None,
        description="Jensen-Shannon divergence of a feature's values, test split from train split.",
    )
    skew: _Limit | None = _alerts_above(
        0.02, "Training-serving skew: Jensen-Shannon divergence, serving log from the log."
    )
    missing: _Limit | None = _alerts_above(
        0.05, "Difference in the share of rows without a value of the feature."
    )
    oov: _Limit | None = _alerts_above(
        0.1, "Difference in the share of a feature's terms that the served version does not know."
    )
    label_delay: _Limit | None = _alerts_above(
        0.05, "Difference in the share of rows whose label, or weight, is still missing."
    )
    label_rate: _Limit | None = _alerts_above(0.2, "Relative change of the mean label.")
    prediction_mean: _Limit | None = _alerts_above(
        0.2, "Relative change of the served version's mean prediction."
    )
    prediction_drift: _Limit | None = _alerts_above(
        0.02, "Jensen-Shannon divergence of the served version's predictions, 0 to 1."
    )
    calibration: _Limit | None = _alerts_above(
        0.1, "Relative change of mean prediction over mean label."
    )
    columns: dict[Column, dict[ColumnSignal, _Limit]] = Field(
        default_factory=dict, description="Limits of single columns, which replace those above."
    )
    tasks: dict[Name, dict[TaskSignal, _Limit]] = Field(
        default_factory=dict, description="Limits of single tasks, which replace those above."
    )

    def limit(self, signal: Signal, name: str) -> Limit | None:
        """Limit of `signal` in a column or task; None where it is not watched."""
        by_name = self.columns if signal in COLUMN_SIGNALS else self.tasks
        own: Mapping[Any, Limit] = by_name.get(name, {})
        general: Limit | None = getattr(self, signal)
        return own.get(signal, general)

    def stopping(self) -> Iterator[tuple[str, Signal]]:
        """Path and signal of every limit that stops the run."""
        own = [
            (f"{place}.{name}.{signal}", signal, limit)
            for place, by_name in (("columns", self.columns), ("tasks", self.tasks))
            for name, limits in by_name.items()
            for signal, limit in limits.items()
        ]
        general = [(signal, signal, getattr(self, signal)) for signal in _SIGNALS]
        for path, signal, limit in general + own:
            if limit is not None and limit.stop:
                yield f"monitoring.{path}", signal


def check_limits(
    monitoring: Monitoring,
    features: Sequence[Feature],
    tasks: Sequence[Task],
    window_days: int | None,
) -> None:
    """Refuses limits of unknown columns or tasks, and stops that could never happen.

    Raises:
        ValueError: If a column or task is unknown, or has no such signal, or if a limit that stops
            compares spans and the window holds fewer than two.
    """
    readers = {feature.column for feature in features}
    with_terms = {
        feature.column
        for feature in features
        if isinstance(feature, IdFeature) and ids_owner(feature, features).vocabulary is not None
    }
    labels = {task.label.column for task in tasks}
    labels |= {task.weight for task in tasks if task.weight is not None}
    places = {
        "oov": (with_terms, "feature with a vocabulary"),
        "label_delay": (labels, "label or weight"),
    }
    for column, own in monitoring.columns.items():
        for signal in own:
            allowed, kind = places.get(signal, (readers, "feature"))
            if column not in allowed:
                raise ValueError(
                    f"monitoring.columns.{column}.{signal}: no {kind} reads this column"
                )
    names = {task.name for task in tasks}
    for name in monitoring.tasks:
        if name not in names:
            raise ValueError(f"monitoring.tasks.{name}: there is no such task")
    for path, stopping in monitoring.stopping():
        if stopping not in _WITHOUT_SPANS and (window_days or 0) < 2:
            raise ValueError(
                f"{path}.stop: compares the newest span of the log with those before it; give "
                "`source.path` spans and `source.window_days` at least 2"
            )
