"""RankerTrainer: the interface of the component."""

from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import trainer_pb2
from tfx.types import component_spec, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from taskroute.components.ranker_trainer import executor


class RankerTrainerSpec(standard_component_specs.TrainerSpec):
    """TFX's Trainer with one more input."""

    INPUTS = {
        **standard_component_specs.TrainerSpec.INPUTS,
        executor.RAW_EXAMPLES_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.Examples
        ),
    }


class RankerTrainer(base_component.BaseComponent):
    """TFX's Trainer, whose `run_fn` also learns where the raw examples are.

    The model is trained on transformed examples; its warm-up requests, which a server replays
    before it serves, are rows as clients send them.
    """

    SPEC_CLASS = RankerTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        run_fn: str,
        examples: types.BaseChannel,
        raw_examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        schema: types.BaseChannel,
        hyperparameters: types.BaseChannel | None,
        custom_config: dict[str, Any],
    ):
        """Constructs the component.

        Args:
            run_fn: Dotted path of the function that trains.
            examples: Transformed `Examples` with a `train` and a `validation` split.
            raw_examples: `Examples` with a `validation` split, whose rows are as clients send them.
            transform_graph: `TransformGraph` that leads from these to those.
            schema: `Schema` of the raw examples.
            hyperparameters: `HyperParameters` that an earlier stage found, if any.
            custom_config: What `run_fn` is told; see the executor for what is added. Of these,
                `checkpoint_folder`, where trainings keep their progress, and `warm_start`, with
                the `serving` folder whose model is gone on from, and its `state`, which changes
                with the version that serves, so that TFX's cache sees it.
        """
        super().__init__(
            spec=RankerTrainerSpec(
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
