"""From a trunk's config to its layer: the one place that names them all."""

from collections.abc import Sequence

from taskroute.models.layers.shared_bottom import SharedBottom
from taskroute.models.layers.sub_network_routing import SnrTrans
from taskroute.models.layers.trunk import Trunk
from taskroute.schemas import trunks


def build_trunk(config: trunks.Trunk, task_names: Sequence[str]) -> Trunk:
    """Makes the trunk that `config` describes."""
    match config:
        case trunks.SharedBottomTrunk():
            return SharedBottom(
                task_names, units=config.units, dropout=config.dropout, name="trunk"
            )
        case trunks.SnrTransTrunk():
            return SnrTrans(
                task_names,
                layers=[(layer.sub_networks, layer.units) for layer in config.layers],
                task_units=config.task_units or config.layers[-1].units,
                l0_penalty=config.l0_penalty,
                gate={
                    "temperature": config.temperature,
                    "stretch": config.stretch,
                    "log_alpha_start": config.log_alpha_start,
                },
                dropout=config.dropout,
                name="trunk",
            )


def routing_learning_rate(config: trunks.Trunk) -> float | None:
    """Learning rate of the weights that decide the routing; None where there are none."""
    return getattr(config, "gate_learning_rate", None)
