"""From the config of a balance to its balancer: the one place that names them all."""

from collections.abc import Sequence

from taskroute.models.balance.balancer import Balancer, Fixed
from taskroute.models.balance.cagrad import CaGrad
from taskroute.models.balance.dwa import DynamicWeightAverage
from taskroute.models.balance.gradnorm import GradNorm
from taskroute.models.balance.pcgrad import PcGrad
from taskroute.models.balance.uncertainty import Uncertainty
from taskroute.schemas import balance
from taskroute.schemas.tasks import Task


def build_balancer(config: balance.Balance, tasks: Sequence[Task]) -> Balancer:
    """Makes the balancer that `config` describes, for the losses of `tasks` in their order."""
    match config:
        case balance.FixedBalance():
            return Fixed(tasks)
        case balance.UncertaintyBalance():
            return Uncertainty(tasks)
        case balance.GradNormBalance():
            return GradNorm(tasks, alpha=config.alpha, learning_rate=config.learning_rate)
        case balance.DwaBalance():
            return DynamicWeightAverage(tasks, temperature=config.temperature)
        case balance.PcGradBalance():
            return PcGrad(tasks)
        case balance.CaGradBalance():
            return CaGrad(tasks, radius=config.radius)


def balance_learning_rate(config: balance.Balance) -> float | None:
    """Learning rate of what the balancer trains beside the model; None where it trains nothing."""
    return getattr(config, "learning_rate", None)
