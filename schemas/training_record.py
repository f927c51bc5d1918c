"""File of a training: training.json."""

from typing import ClassVar

from pydantic import ConfigDict, NonNegativeInt

from taskroute.schemas.base import Config
from taskroute.schemas.record import Record
from taskroute.schemas.serving import ScoreDifference


class _Measured(Config):
    """Base of models whose floats may be infinite or NaN after a diverged training."""

    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan="constants")


class PartCost(Config):
    """Cost of one part of a ranker.

    Attributes:
        part: Name, such as `tower click`; `total` is the sum of all.
        parameters: Number of trained scalars.
        macs: Multiply-accumulates for one row at inference; lookups do not count.
    """

    part: str
    parameters: NonNegativeInt
    macs: NonNegativeInt


class RoutingTable(_Measured):
    """One routing matrix of a trunk, at inference.

    Attributes:
        name: Name of the matrix.
        upper: Names of the rows: tasks, or lower parts of the next matrix.
        lower: Names of the columns.
        values: Openness of each route, in [0, 1]; 0 is a closed route.
    """

    name: str
    upper: tuple[str, ...]
    lower: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]

    @property
    def num_open(self) -> int:
        return sum(value > 0 for row in self.values for value in row)

    @property
    def num_routes(self) -> int:
        return len(self.upper) * len(self.lower)


class CalibrationFit(_Measured):
    """Agreement of probabilities and labels; `calibration` is None without a positive row."""

    calibration: float | None
    log_loss: float


class TaskCalibration(Config):
    """Correction of a task's probabilities, and their fit on validation before and after it."""

    method: str
    knots: NonNegativeInt
    before: CalibrationFit
    after: CalibrationFit


class TrainingRecord(Record, _Measured):
    """Learning curves, costs and routes of a trained ranker.

    Attributes:
        epochs: Number of epochs trained.
        best_epoch: Epoch whose weights were kept, from 1.
        history: Losses and counts after each epoch, by name; a loss may be no finite number.
        cost: Costs by part as trained, the total last.
        served_cost: Costs by part as served.
        routing: Routing matrices, bottom up.
        guarded_tasks: Tasks with all routes closed, which keep the strongest one by a guard.
        calibration: Corrections by binary task.
        score_differences: Differences of the served scores from the trained ranker's, by output.
        saved_bytes: Bytes that int8 embedding tables save.
    """

    FILE: ClassVar[str] = "training.json"

    epochs: NonNegativeInt
    best_epoch: NonNegativeInt
    history: dict[str, tuple[float, ...]]
    cost: tuple[PartCost, ...]
    served_cost: tuple[PartCost, ...]
    routing: tuple[RoutingTable, ...]
    guarded_tasks: tuple[str, ...]
    calibration: dict[str, TaskCalibration] = {}
    score_differences: dict[str, ScoreDifference] = {}
    saved_bytes: NonNegativeInt = 0
