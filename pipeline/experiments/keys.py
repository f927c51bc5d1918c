"""Keys of trials: digests of the config, the log and the code that decide a result."""

import hashlib
from collections.abc import Mapping

from taskroute.pipeline.dag.digest import code_digest
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig


def digest(*parts: str) -> str:
    """Digest that changes with any of `parts`."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def digests_of(fingerprint: str, source: str, stages: str, command: str) -> dict[str, str]:
    """Digests of the `data`, the log and how it is read, and of the `code`.

    Args:
        fingerprint: Changes when the log does.
        source: The config's source, as JSON.
        stages: Changes with the code of the stages that prepare the data.
        command: Name of the experiment. Its module `trials` runs the trials: what that leads to
            decides a result, and no other code of the command.
    """
    trials = code_digest(f"taskroute.pipeline.experiments.{command}.trials")
    return {"data": digest(fingerprint, source), "code": digest(trials, stages)}


def trial_key(trial: ModelConfig, config: RecommenderConfig, digests: Mapping[str, str]) -> str:
    """Key that changes with all that decides a result.

    Args:
        trial: Config that is trained.
        config: Config by which it is served and measured.
        digests: Digests of data and code (`digests_of`).
    """
    return digest(
        trial.model_dump_json(),
        config.serving.model_dump_json(),
        str(config.evaluation.group_key),
        *digests.values(),
    )
