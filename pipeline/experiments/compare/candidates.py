"""Trunks to compare: from their names on the command line to their configs."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import get_args

from taskroute.schemas.errors import ConfigError
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.trunks import Trunk

SINGLE_TASK, SHARED_BOTTOM = "single_task", "shared_bottom"

# References for sharing, where they are among the trunks: none of it, and all of it.
REFERENCES = (SINGLE_TASK, SHARED_BOTTOM)

_CLASSES = {
    get_args(kind.model_fields["kind"].annotation)[0]: kind for kind in get_args(get_args(Trunk)[0])
}


def choose(config: RecommenderConfig, names: Sequence[str]) -> dict[str, Trunk]:
    """Chooses trunks by name, in the given order.

    The config's own is as the config has it. Every other has its kind's default layers and
    constants, and the config's activation and dropout.

    Args:
        config: Config of the comparison.
        names: Kinds of trunk; none of them: the references and the config's own.

    Raises:
        ConfigError: If a name is no trunk or comes twice, there is one only, or one must be
            searched.
    """
    own = config.trunk
    if not names:
        names = list(dict.fromkeys((*REFERENCES, own.kind)))
    chosen: dict[str, Trunk] = {}
    for name in names:
        if name not in _CLASSES:
            close = get_close_matches(name, _CLASSES, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"choose among {', '.join(_CLASSES)}"
            raise ConfigError(f"--trunks: there is no trunk '{name}'; {hint}")
        if name in chosen:
            raise ConfigError(f"--trunks: '{name}' is named twice; name each trunk once")
        if name == own.kind:
            chosen[name] = own
        else:
            common = {"activation": own.activation, "dropout": own.dropout}
            chosen[name] = _CLASSES[name](kind=name, **common)
        trunk = chosen[name]
        if trunk.needs_search:
            raise ConfigError(
                "--trunks: mtnas is compared by the route that a search found; search with "
                "`taskroute run`, then give its file as `trunk.route`, or leave mtnas out"
            )
    if len(chosen) < 2:
        raise ConfigError(f"--trunks: '{names[0]}' alone has nothing to be compared with; name two")
    return chosen
