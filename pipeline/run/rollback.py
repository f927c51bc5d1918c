"""`taskroute rollback`: serves the version before the served one again."""

from pathlib import Path

from taskroute.components.served import registry
from taskroute.pipeline.run.paths import RunPaths
from taskroute.schemas.recommender import load_config


def roll_back(name_or_config: str, root: Path | None) -> str:
    """Rolls back and returns the outcome in one sentence.

    Args:
        name_or_config: Name of a recommender, or the path of its config.
        root: The pipeline root; runs/NAME where None.

    Raises:
        UserError: If there is nothing to roll back, or a push is under way.
    """
    is_config = name_or_config.endswith((".yaml", ".yml"))
    name = load_config(name_or_config).name if is_config else name_or_config
    serving = RunPaths((root or Path("runs") / name).resolve(), name).serving
    served, serves = registry.rollback(serving)
    return (
        f"version {serves} serves again from {serving / str(serves)}; version {served} was taken "
        "away and will not be pushed again"
    )
