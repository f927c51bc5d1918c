"""Trainer: the interface of the component."""

from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import trainer_pb2
from tfx.types import component_spec, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from taskroute.components.trainer import executor
from taskroute.components.trainer import separate_process as process
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.serving import Serving


class TrainerSpec(standard_component_specs.TrainerSpec):
    """TFX's Trainer with one more input."""

    INPUTS = {
        **standard_component_specs.TrainerSpec.INPUTS,
        executor.RAW_EXAMPLES_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.Examples
        ),
    }


class Trainer(base_component.BaseComponent):
    """TFX's Trainer, whose `run_fn` also gets the folder of the raw examples.

    The model is trained on transformed examples; its warm-up requests, which a server replays
    before it serves, are rows as clients send them.
    """

    SPEC_CLASS = TrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        run_fn: str,
        examples: types.BaseChannel,
        raw_examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        schema: types.BaseChannel,
        hyperparameters: types.BaseChannel | None,
        name: str,
        config: ModelConfig,
        serving: Serving,
        checkpoint_folder: str,
        warm_start_from: str | None = None,
        separate_process: bool = False,
    ):
        """Constructs the component.

        Args:
            run_fn: Dotted path of the function that trains.
            examples: Transformed `Examples` with a `train` and a `validation` split.
            raw_examples: `Examples` with a `validation` split, whose rows are as clients send them.
            transform_graph: `TransformGraph` from raw to transformed examples.
            schema: `Schema` of the raw examples.
            hyperparameters: `HyperParameters` of an earlier stage, if any.
            name: Name under which the model is served.
            config: Settings of the model.
            serving: Signatures of the exported model.
            checkpoint_folder: Folder of the trainings' progress.
            warm_start_from: Serving folder whose served version warm-starts the training; None
                trains afresh.
            separate_process: Whether the training runs in a process of its own: TensorFlow joins a
                cluster only in a process that has not run anything yet.
        """
        custom_config: dict[str, Any] = {
            "name": name,
            "config": config.model_dump_json(),
            "serving": serving.model_dump_json(),
            executor.CHECKPOINT_FOLDER_KEY: checkpoint_folder,
        }
        if warm_start_from is not None:
            custom_config[executor.WARM_START_KEY] = warm_start_from
        if separate_process:
            custom_config["separate_process"] = {
                "run_fn": run_fn,
                "job": str(Path(checkpoint_folder, process.JOB_FILE)),
            }
            run_fn = f"{process.__name__}.run_fn"
        super().__init__(
            spec=TrainerSpec(
                run_fn=run_fn,
                examples=examples,
                raw_examples=raw_examples,
                transform_graph=transform_graph,
                schema=schema,
                hyperparameters=hyperparameters,
                train_args=trainer_pb2.TrainArgs(splits=["train"]),
                eval_args=trainer_pb2.EvalArgs(splits=["validation"]),
                custom_config=json_utils.dumps(custom_config),
                model=types.Channel(type=standard_artifacts.Model),
                model_run=types.Channel(type=standard_artifacts.ModelRun),
            )
        )
