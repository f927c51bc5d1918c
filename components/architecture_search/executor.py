"""ArchitectureSearch: the work of the component."""

import importlib
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from taskroute.components.checkpoints import checkpoint_folder
from taskroute.schemas.routes import SearchResult


class Executor(base_executor.BaseExecutor):
    """Calls the search function and writes its result."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the component. The test split is not read.

        Args:
            input_dict: `examples`, transformed; `transform_graph`.
            output_dict: `hyperparameters`, gets route.json, a `SearchResult`.
            exec_properties: `search_fn`, `config`, `checkpoint_folder`, and `code_digest`, where
                the DAG gives one.

        Raises:
            UserError: If the config or the data allow no search.
        """
        module, _, name = exec_properties["search_fn"].rpartition(".")
        search_fn = getattr(importlib.import_module(module), name)
        examples = input_dict["examples"]
        with checkpoint_folder(
            exec_properties["checkpoint_folder"],
            exec_properties.get("code_digest", ""),
            exec_properties["config"],
            *(artifact.uri for artifact in examples),
        ) as checkpoint:
            text = search_fn(
                config=exec_properties["config"],
                train_files=[f"{artifact_utils.get_split_uri(examples, 'train')}/*"],
                validation_files=[f"{artifact_utils.get_split_uri(examples, 'validation')}/*"],
                transform_graph_path=artifact_utils.get_single_uri(input_dict["transform_graph"]),
                checkpoint=checkpoint,
            )
            # Trainer takes the only file of the artifact, whatever its name.
            result = SearchResult.model_validate_json(text)
            result.write(artifact_utils.get_single_uri(output_dict["hyperparameters"]))
