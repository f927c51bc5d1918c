"""ArchitectureSearch: the interface of the component."""

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts

from taskroute.components.architecture_search import executor
from taskroute.components.interface import make_spec


class ArchitectureSearch(base_component.BaseComponent):
    """Searches the share route of an mtnas trunk on the train and validation splits.

    `hyperparameters` holds one file, route.json, which Trainer's channel of that name reads.
    """

    SPEC_CLASS = make_spec(
        inputs={
            "examples": standard_artifacts.Examples,
            "transform_graph": standard_artifacts.TransformGraph,
        },
        outputs={"hyperparameters": standard_artifacts.HyperParameters},
        parameters={"search_fn": str, "config": str, "checkpoint_folder": str},
    )
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        search_fn: str,
        config: str,
        checkpoint_folder: str,
    ):
        """Constructs the component.

        Args:
            examples: Transformed `Examples` with a `train` and a `validation` split.
            transform_graph: `TransformGraph` that made them.
            search_fn: Dotted path of the function that searches: it takes `config`, `train_files`,
                `validation_files`, `transform_graph_path` and `checkpoint`, and returns a
                `SearchResult` as JSON.
            config: Config of the model, as JSON.
            checkpoint_folder: Folder of a search's progress until it has ended, so that the next
                run goes on where a killed one stopped.

        Raises:
            ValueError: If `search_fn` is no dotted path.
        """
        if not all(part.isidentifier() for part in search_fn.split(".")) or "." not in search_fn:
            raise ValueError(f"`search_fn` must be a dotted path. Received: search_fn={search_fn}")
        super().__init__(
            spec=self.SPEC_CLASS(
                examples=examples,
                transform_graph=transform_graph,
                search_fn=search_fn,
                config=config,
                checkpoint_folder=checkpoint_folder,
                hyperparameters=types.Channel(type=standard_artifacts.HyperParameters),
            )
        )
