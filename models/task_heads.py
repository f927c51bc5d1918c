"""Builder of heads, the one place that names them all."""

from taskroute.models.heads.binary import BinaryHead
from taskroute.models.heads.buckets import BucketsHead
from taskroute.models.heads.head import Head
from taskroute.models.heads.squared import HuberHead, SquaredHead
from taskroute.models.heads.weighted_logistic import WeightedLogisticHead
from taskroute.schemas.tasks import Task


def build_head(task: Task) -> Head:
    """Makes the head that `task` describes."""
    if task.kind == "binary":
        return BinaryHead(task)
    match task.loss:
        case "mse":
            return SquaredHead(task)
        case "huber":
            return HuberHead(task)
        case "weighted_logistic":
            return WeightedLogisticHead(task)
        case "buckets":
            return BucketsHead(task)
