"""Transform: the interface of the component."""

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts

from taskroute.components.interface import make_spec
from taskroute.components.transform import executor
from taskroute.schemas.recommender import DataConfig


class Transform(base_beam_component.BaseBeamComponent):
    """Does the work of TFX's Transform in batches, and has its outputs.

    Learns vocabularies, moments and quantiles in one pass over the train split; writes the
    transform graph that applies them, for training and serving alike; applies it to every split.
    Transformed examples are Parquet files, one for each shard of the input, in its order.
    """

    SPEC_CLASS = make_spec(
        inputs={"examples": standard_artifacts.Examples, "schema": standard_artifacts.Schema},
        outputs={
            "transform_graph": standard_artifacts.TransformGraph,
            "transformed_examples": standard_artifacts.Examples,
        },
        parameters={"preprocessing_fn": str, "data": str},
    )
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
            spec=self.SPEC_CLASS(
                examples=examples,
                schema=schema,
                preprocessing_fn=preprocessing_fn,
                data=data.model_dump_json(),
                transform_graph=types.Channel(type=standard_artifacts.TransformGraph),
                transformed_examples=types.Channel(type=standard_artifacts.Examples),
            )
        )
