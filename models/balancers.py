"""Builder of balancers, the one place that names them all."""

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
            return Fixed(config, tasks)
        case balance.UncertaintyBalance():
            return Uncertainty(config, tasks)
        case balance.GradNormBalance():
            return GradNorm(config, tasks)
        case balance.DwaBalance():
            return DynamicWeightAverage(config, tasks)
        case balance.PcGradBalance():
            return PcGrad(config, tasks)
        case balance.CaGradBalance():
            return CaGrad(config, tasks)


def balance_learning_rate(config: balance.Balance) -> float | None:
    """Learning rate of the balancer's own weights; None where it trains none."""
    return getattr(config, "learning_rate", None)
