"""Trainer: the work of the component."""

from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.trainer import executor as trainer
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import json_utils

from taskroute.components.checkpoints import checkpoint_folder
from taskroute.components.served import registry
from taskroute.schemas.serving import RawExamples

RAW_EXAMPLES_KEY = "raw_examples"
CHECKPOINT_FOLDER_KEY = "checkpoint_folder"
CHECKPOINT_KEY = "checkpoint"
WARM_START_KEY = "warm_start"
SPLIT = "validation"


class Executor(trainer.GenericExecutor):
    """Calls TFX's executor with what `run_fn` has to know in the custom config."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the component.

        Args:
            input_dict: Inputs of TFX's Trainer, and `raw_examples`.
            output_dict: Outputs of TFX's Trainer.
            exec_properties: Properties of TFX's Trainer. `custom_config`, JSON, gains
                `raw_examples`. `checkpoint` replaces `checkpoint_folder`: a folder in it that only
                a training of the same custom config and examples resumes from, and that is removed
                at the end. `warm_start`, the serving folder where it is given, is replaced by the
                folder of the served version, or None.
        """
        key = standard_component_specs.CUSTOM_CONFIG_KEY
        custom_config = json_utils.loads(exec_properties[key])
        raw = describe_examples(input_dict[RAW_EXAMPLES_KEY])
        custom_config[RAW_EXAMPLES_KEY] = raw.model_dump(mode="json")
        if WARM_START_KEY in custom_config:
            folder = custom_config[WARM_START_KEY]
            custom_config[WARM_START_KEY] = registry.warm_start_of_latest(folder)
        inputs = [artifact.uri for name in sorted(input_dict) for artifact in input_dict[name]]
        with checkpoint_folder(
            custom_config.pop(CHECKPOINT_FOLDER_KEY),
            exec_properties[key],
            exec_properties.get("code_digest", ""),
            *inputs,
        ) as checkpoint:
            custom_config[CHECKPOINT_KEY] = checkpoint
            properties = {**exec_properties, key: json_utils.dumps(custom_config)}
            super().Do(input_dict, output_dict, properties)


def describe_examples(artifacts: list[types.Artifact]) -> RawExamples:
    """Where the validation rows are, their span if there are spans, rows by split."""
    folder = artifact_utils.get_split_uri(artifacts, SPLIT)
    (examples,) = artifacts
    splits = artifact_utils.decode_split_names(examples.split_names)
    counts = {split: examples.get_int_custom_property(f"num_rows_{split}") for split in splits}
    span = None
    if examples.has_custom_property("last_span"):
        first, last = map(examples.get_string_custom_property, ("first_span", "last_span"))
        span = (first, last)
    return RawExamples(patterns=(str(Path(folder, "*.parquet")),), span=span, num_rows=counts)
