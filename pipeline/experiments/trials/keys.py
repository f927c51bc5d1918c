"""What decides the result of a trial, in one key: its config, the log and our code."""

import hashlib
from collections.abc import Mapping

from taskroute.pipeline.dag.digest import code_digest
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig


def digest(*parts: str) -> str:
    """Changes with any of `parts`."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def digests_of(fingerprint: str, source: str, trainer: str) -> dict[str, str]:
    """Of the `data`: the log's fingerprint and how it is read; and of the `code`.

    Args:
        fingerprint: Changes when the log does.
        source: The config's source, as JSON.
        trainer: The module that runs a trial.
    """
    return {"data": digest(fingerprint, source), "code": code_digest(trainer)}


def trial_key(trial: ModelConfig, config: RecommenderConfig, digests: Mapping[str, str]) -> str:
    """Changes with all that decides a result.

    Args:
        trial: What is trained.
        config: How it is served and measured.
        digests: Of `digests_of`.
    """
    return digest(
        trial.model_dump_json(),
        config.serving.model_dump_json(),
        str(config.evaluation.group_key),
        *digests.values(),
    )
