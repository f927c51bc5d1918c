"""Builder of trunks, the one place that names them all; sizes of trunks."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

from taskroute.models.layers.cross_stitch import CrossStitch
from taskroute.models.layers.gumbel_matrix import GumbelMatrix
from taskroute.models.layers.mmoe import Mmoe
from taskroute.models.layers.mtnas import MtnasDerived, MtnasSupernet
from taskroute.models.layers.mtnas_routes import derived_cost
from taskroute.models.layers.ple import Ple
from taskroute.models.layers.shared_bottom import SharedBottom
from taskroute.models.layers.single_task import SingleTask
from taskroute.models.layers.sub_network_routing import SnrAver, SnrTrans
from taskroute.models.layers.trunk import Trunk
from taskroute.schemas import trunks
from taskroute.schemas.base import Config

ConfigT = TypeVar("ConfigT", bound=Config)


def build_trunk(config: trunks.Trunk, task_names: Sequence[str], input_width: int) -> Trunk:
    """Makes the trunk that `config` describes.

    Args:
        config: Config of the layers.
        task_names: Keys of the trunk's result.
        input_width: Width of the trunk's input, from which `match_parameters` chooses the units.
    """
    config = match_width(config, input_width, len(task_names))
    match config:
        case trunks.SingleTaskTrunk():
            return SingleTask(config, task_names, name="trunk")
        case trunks.SharedBottomTrunk():
            return SharedBottom(config, task_names, name="trunk")
        case trunks.CrossStitchTrunk():
            return CrossStitch(config, task_names, name="trunk")
        case trunks.MmoeTrunk():
            return Mmoe(config, task_names, name="trunk")
        case trunks.PleTrunk():
            return Ple(config, task_names, name="trunk")
        case trunks.SnrTransTrunk():
            return SnrTrans(config, task_names, name="trunk")
        case trunks.SnrAverTrunk():
            return SnrAver(config, task_names, name="trunk")
        case trunks.GumbelMatrixTrunk():
            return GumbelMatrix(config, task_names, name="trunk")
        case trunks.MtnasTrunk(route=None):
            return MtnasSupernet(config, task_names, name="trunk")
        case trunks.MtnasTrunk():
            return MtnasDerived(config, task_names, name="trunk")


def routing_learning_rate(config: trunks.Trunk) -> float | None:
    """Learning rate of the routing weights; None where there are none."""
    return getattr(config, "gate_learning_rate", None)


def match_width(config: trunks.Trunk, input_width: int, num_tasks: int) -> trunks.Trunk:
    """Scales the widths of a trunk so that its parameters come nearest to `match_parameters`.

    All widths are multiplied by one factor and rounded, at least 1. The result has no
    `match_parameters`; without it the config is returned unchanged.
    """
    target = config.match_parameters
    if target is None:
        return config
    config = config.model_copy(update={"match_parameters": None})

    def count(factor: float) -> int:
        return parameter_count(_scaled(config, factor), input_width, num_tasks)

    low, high = 0.0, 1.0
    while count(high) < target:
        low, high = high, 2 * high
    # Past this precision no width below 2^20 changes any more.
    while high - low > high * 2**-21 and high > 2**-40:
        middle = (low + high) / 2
        low, high = (middle, high) if count(middle) < target else (low, middle)
    nearest = min((low, high), key=lambda factor: abs(count(factor) - target))
    return _scaled(config, nearest)


def parameter_count(config: trunks.Trunk, input_width: int, num_tasks: int) -> int:
    """Number of trained scalars of the trunk that `config` describes, without building it."""
    match config:
        case trunks.SingleTaskTrunk():
            return num_tasks * _mlp(input_width, config.units)
        case trunks.SharedBottomTrunk():
            return _mlp(input_width, config.units)
        case trunks.CrossStitchTrunk():
            mixing = num_tasks**2 * len(config.units)
            return num_tasks * _mlp(input_width, config.units) + mixing
        case trunks.MmoeTrunk():
            uppers = [*(layer.experts for layer in config.layers[1:]), num_tasks]
            total, width = 0, input_width
            for layer, upper in zip(config.layers, uppers, strict=True):
                total += layer.experts * _mlp(width, layer.units)
                total += upper * layer.experts * input_width
                width = layer.units[-1]
            return total
        case trunks.PleTrunk():
            total, width = 0, input_width
            for index, level in enumerate(config.levels, start=1):
                seen = level.task_experts + level.shared_experts
                experts = num_tasks * level.task_experts + level.shared_experts
                shared_gate = experts if index < len(config.levels) else 0
                total += experts * _mlp(width, level.units)
                total += (num_tasks * seen + shared_gate) * width
                width = level.units[-1]
            return total
        case trunks.SnrTransTrunk():
            rows = [(layer.sub_networks, layer.units) for layer in config.layers]
            rows.append((num_tasks, config.task_width))
            widths = [input_width, *(count * units for count, units in rows)]
            gates = sum(lower * upper for (lower, _), (upper, _) in pairwise(rows))
            return _mlp(widths[0], widths[1:]) + gates
        case trunks.SnrAverTrunk():
            counts = [layer.sub_networks for layer in config.layers]
            widths = [input_width, *(layer.units for layer in config.layers)]
            gates = sum(lower * upper for lower, upper in pairwise([*counts, num_tasks]))
            return gates + sum(
                count * _mlp(width, [units])
                for count, (width, units) in zip(counts, pairwise(widths), strict=True)
            )
        case trunks.GumbelMatrixTrunk():
            total, width = 0, input_width
            for layer in config.layers:
                total += layer.experts * (_mlp(width, layer.units) + 2 * num_tasks)
                width = layer.units[-1]
            return total
        case trunks.MtnasTrunk():
            units = [layer.units for layer in config.layers]
            if config.route is not None:
                return derived_cost(config.route, units, input_width).parameters
            names = [f"task_{index}" for index in range(num_tasks)]
            return MtnasSupernet(config, names).cost(input_width).parameters


def _mlp(width: int, units: Sequence[int]) -> int:
    return sum((lower + 1) * upper for lower, upper in pairwise([width, *units]))


def _scaled(config: ConfigT, factor: float) -> ConfigT:
    """Multiplies every width in `config`, at any depth, by `factor`."""

    def scale(width: int) -> int:
        return max(1, round(width * factor))

    changed: dict[str, Any] = {}
    for name, value in config:
        match value:
            case int() if name in ("units", "task_units"):
                changed[name] = scale(value)
            case tuple() if name == "units":
                changed[name] = tuple(map(scale, value))
            case tuple() if value and isinstance(value[0], Config):
                changed[name] = tuple(_scaled(part, factor) for part in value)
    return config.model_copy(update=changed)
