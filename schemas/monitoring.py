"""Which changes of the log, and of what the served model makes of it, are told."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from taskroute.schemas.base import Column, Config, Name
from taskroute.schemas.features import Feature, IdFeature, ids_owner
from taskroute.schemas.tasks import Task

ColumnSignal = Literal["drift", "skew", "missing", "oov", "label_delay"]
TaskSignal = Literal["label_rate", "prediction_mean", "prediction_drift", "calibration"]
Signal = ColumnSignal | TaskSignal

COLUMN_SIGNALS: tuple[str, ...] = get_args(ColumnSignal)

_Threshold = Annotated[float, Field(gt=0)]


class Monitoring(Config):
    """Changes that are told where they are larger; they stop nothing. None tells none.

    A change is that of the newest span from those before it in the window, or of a serving log
    from the window. Thresholds come on top of what the spans show among themselves, and of what
    chance may do: see `taskroute.components.measures.judge`.
    """

    drift: _Threshold | None = Field(
        0.02, description="Of a feature's values: their Jensen-Shannon divergence, 0 to 1."
    )
    skew: _Threshold | None = Field(
        0.02, description="Of a feature's values in a serving log: the same distance."
    )
    missing: _Threshold | None = Field(
        0.05, description="Of the share of rows without a value of the feature."
    )
    oov: _Threshold | None = Field(
        0.1, description="Of the share of a feature's terms that the served model does not know."
    )
    label_delay: _Threshold | None = Field(
        0.05, description="Of the share of rows whose label, or weight, is not there yet."
    )
    label_rate: _Threshold | None = Field(
        0.2, description="Of the mean label, relative to what it was."
    )
    prediction_mean: _Threshold | None = Field(
        0.2, description="Of the served model's mean prediction, relative to what it was."
    )
    prediction_drift: _Threshold | None = Field(
        0.02, description="Of its predictions: their Jensen-Shannon divergence, 0 to 1."
    )
    calibration: _Threshold | None = Field(
        0.1, description="Of predicted over actual, relative to what it was."
    )
    columns: dict[Column, dict[ColumnSignal, _Threshold]] = Field(
        default_factory=dict, description="Columns that have thresholds of their own."
    )
    tasks: dict[Name, dict[TaskSignal, _Threshold]] = Field(
        default_factory=dict, description="Tasks that have thresholds of their own."
    )

    def threshold(self, signal: Signal, name: str) -> float | None:
        """What a change of `signal` in a column or task may be; None where none is told."""
        of_name = self.columns if signal in COLUMN_SIGNALS else self.tasks
        own: Mapping[Any, float] = of_name.get(name, {})
        general: float | None = getattr(self, signal)
        return own.get(signal, general)


def check_thresholds(
    monitoring: Monitoring, features: Sequence[Feature], tasks: Sequence[Task]
) -> None:
    """Refuses thresholds of what is not in the config.

    Raises:
        ValueError: If a column or task is not there, or has no such signal.
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
