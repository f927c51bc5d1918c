"""Transform: the interface of the component."""

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from taskroute.components.transform import executor
from taskroute.schemas.recommender import DataConfig


class TransformSpec(component_spec.ComponentSpec):
    """Inputs, outputs and properties of Transform."""

    PARAMETERS = {
        executor.PREPROCESSING_FN_KEY: component_spec.ExecutionParameter(type=str),
        executor.DATA_KEY: component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        executor.EXAMPLES_KEY: component_spec.ChannelParameter(type=standard_artifacts.Examples),
        executor.SCHEMA_KEY: component_spec.ChannelParameter(type=standard_artifacts.Schema),
    }
    OUTPUTS = {
        executor.TRANSFORM_GRAPH_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.TransformGraph
        ),
        executor.TRANSFORMED_EXAMPLES_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.Examples
        ),
    }


class Transform(base_beam_component.BaseBeamComponent):
    """Does the work of TFX's Transform in batches, and has its outputs.

    Learns vocabularies, moments and quantiles in one pass over the train split; writes the
    transform graph that applies them, for training and serving alike; applies it to every split.
    Transformed examples are Parquet files, one for each shard of the input, in its order.
    """

    SPEC_CLASS = TransformSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        schema: types.BaseChannel,
        preprocessing_fn: str,
        data: DataConfig,
    ):
        """Constructs the component.

        Args:
            examples: Raw `Examples` with a `train` split.
            schema: Their `Schema`.
            preprocessing_fn: Dotted path of the function that maps columns to transformed features.
                Its `custom_config` holds `data`, and `analysis`, the folder of an `Analysis`.
            data: Features and tasks.

        Raises:
            ValueError: If `preprocessing_fn` is no dotted path.
        """
        if "." not in preprocessing_fn:
            raise ValueError(
                f"`preprocessing_fn` must be a dotted path. Received: {preprocessing_fn!r}"
            )
        super().__init__(
            spec=TransformSpec(
                examples=examples,
                schema=schema,
                preprocessing_fn=preprocessing_fn,
                data=data.model_dump_json(),
                transform_graph=types.Channel(type=standard_artifacts.TransformGraph),
                transformed_examples=types.Channel(type=standard_artifacts.Examples),
            )
        )
