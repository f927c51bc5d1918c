"""Entry point of ArchitectureSearch, which names it by its dotted path."""

from collections.abc import Sequence
from functools import partial

from taskroute.models.search import search
from taskroute.models.training import TrainingData, new_ranker
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
        checkpoint: Folder of the search's progress: resumed from if it holds any.

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
    data = TrainingData(transform_graph_path, train_files, validation_files)
    ids = data.ids(parsed)
    passes = partial(data.train, parsed, ids)
    result = search(
        new_ranker(parsed, ids.number, passes(0)),
        parsed,
        passes,
        data.validation(parsed, trunk.search.batch_size),
        checkpoint=checkpoint,
    )
    return result.model_dump_json(indent=1)
