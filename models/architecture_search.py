"""Entry point of ArchitectureSearch, which names it by its dotted path."""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras

from taskroute.models.dataset import make_dataset
from taskroute.models.search import search
from taskroute.models.trainer import build_ranker, num_ids
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.trunks import MtnasTrunk


def search_fn(
    *,
    config: str,
    train_files: Sequence[str],
    validation_files: Sequence[str],
    transform_graph_path: str,
    checkpoint: str,
) -> str:
    """Searches the share route of a config's trunk.

    Args:
        config: A `ModelConfig` with an mtnas trunk without a route, as JSON.
        train_files: File patterns of transformed examples that train the supernet.
        validation_files: File patterns of transformed examples that judge routes.
        transform_graph_path: Output of TFX Transform.
        checkpoint: File of the search's progress: resumed from if it is there.

    Returns:
        A `SearchResult` as JSON.

    Raises:
        UserError: If the config or the data allow no search.
    """
    parsed = ModelConfig.model_validate_json(config)
    if not isinstance(parsed.trunk, MtnasTrunk):
        raise ValueError(f"`config` must have an mtnas trunk. Received: {parsed.trunk.kind}")
    # Widths are matched when the derived network is made: the supernet has those of the config.
    trunk = parsed.trunk.model_copy(update={"match_parameters": None})
    parsed = parsed.model_copy(update={"trunk": trunk})
    seed = parsed.training.seed

    def train(index: int) -> tf.data.Dataset:
        batch_size = parsed.training.batch_size
        return make_dataset(
            train_files,
            parsed,
            batch_size=batch_size,
            shuffle_seed=seed + index,
            negative_sampling=parsed.training.negative_sampling,
        )

    keras.utils.set_random_seed(seed)
    ids = num_ids(parsed, tft.TFTransformOutput(transform_graph_path))
    ranker = build_ranker(parsed, ids, train(0))
    validation = make_dataset(validation_files, parsed, batch_size=trunk.search.batch_size)
    result = search(ranker, parsed, train, validation, checkpoint=checkpoint)
    return result.model_dump_json(indent=1)
