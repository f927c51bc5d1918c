"""Trunks of equal size: as many parameters above the embeddings as the config's own has."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from taskroute.models.interactions import build_interaction
from taskroute.models.layers.embedding import FeatureEmbedding
from taskroute.models.trunks import match_width, parameter_count
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.trunks import Trunk


def input_width(config: ModelConfig, ids: Mapping[str, int]) -> int:
    """Width of what a trunk reads, by the number of ids of each feature."""
    embedding = FeatureEmbedding(config.features, ids, config.tables)
    return build_interaction(config.interaction, embedding).output_width(embedding.output_width)


def matched(trunks: Mapping[str, Trunk], config: ModelConfig, input_width: int) -> dict[str, Trunk]:
    """Gives trunks the widths by which they and the towers above are as large as the config's.

    Towers are counted, since they read what a trunk gives: a trunk of few, wide outputs would
    otherwise bring more parameters with it than one of many narrow ones.

    Args:
        trunks: Trunks by name; one of them may be the config's own, and stays as it is.
        config: Config to whose size all come, as near as whole widths allow.
        input_width: Width of what a trunk reads.
    """
    num_tasks = len(config.tasks)
    own = match_width(config.trunk, input_width, num_tasks)
    target = size(own, config, input_width)

    def sized(trunk: Trunk, parameters: int) -> Trunk:
        wanted = trunk.model_copy(update={"match_parameters": parameters})
        return match_width(wanted, input_width, num_tasks)

    result = {}
    for name, trunk in trunks.items():
        if trunk == config.trunk:
            result[name] = own
            continue
        low, high = 1, target
        while high - low > 1:
            middle = (low + high) // 2
            below = size(sized(trunk, middle), config, input_width) < target
            low, high = (middle, high) if below else (low, middle)
        candidates = (sized(trunk, low), sized(trunk, high))
        result[name] = min(
            candidates, key=lambda each: abs(size(each, config, input_width) - target)
        )
    return result


def size(trunk: Trunk, config: ModelConfig, input_width: int) -> int:
    """Trained scalars of a trunk and of the towers above it, with one output each."""
    widths = [_task_width(trunk), *config.towers.units, 1]
    tower = sum((lower + 1) * upper for lower, upper in pairwise(widths))
    num_tasks = len(config.tasks)
    return parameter_count(trunk, input_width, num_tasks) + num_tasks * tower


def _task_width(trunk: Trunk) -> int:
    """Width of what a task receives from a trunk."""
    layers: Sequence[Any] = getattr(trunk, "layers", ()) or getattr(trunk, "levels", ())
    last: Any = layers[-1] if layers else trunk
    units: int | tuple[int, ...] = getattr(trunk, "task_units", None) or last.units
    return units if isinstance(units, int) else units[-1]
