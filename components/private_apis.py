"""Private parts of TFX, TFDV, TFT and tfx_bsl, used nowhere else; `tests/test_private_apis.py` asks
whether they are still there.

Each function imports its library when it is called: no stage loads another's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf
    from tensorflow_metadata.proto.v0 import statistics_pb2
    from tfx.types import Artifact


def statistics_generators() -> list[Any]:
    """TFDV's default statistics: combiners, each with accumulators of its own.

    Its public transform computes the statistics of one set of rows; a combiner does for many sets,
    in one pass.
    """
    import tensorflow_data_validation as tfdv
    from tensorflow_data_validation.statistics import stats_impl

    options = tfdv.StatsOptions(use_sketch_based_topk_uniques=True)
    generators: list[Any] = stats_impl.get_generators(options, in_memory=True)
    return generators


def extract_statistics(
    accumulators: Sequence[Any], generators: Sequence[Any]
) -> "statistics_pb2.DatasetFeatureStatisticsList":
    """The statistics that TFDV's combiners have accumulated."""
    from tensorflow_data_validation.statistics import stats_impl

    return stats_impl.extract_statistics_output(accumulators, generators)


def trace_transform(
    preprocessing_fn: Callable[[Mapping[str, "tf.SparseTensor"]], Mapping[str, Any]],
    features: Mapping[str, Any],
    types: Mapping[str, Any],
    folder: str,
) -> None:
    """Traces a function that calls no analyzer of TFT, and writes its graph and metadata.

    Args:
        preprocessing_fn: Maps sparse columns to transformed features.
        features: Specs of the columns, as `tf.io` parses them.
        types: Specs of the columns as tensors.
        folder: Gets what `tft.TFTransformOutput` reads.
    """
    from tensorflow_transform import impl_helper

    impl_helper.analyze_in_place(preprocessing_fn, False, features, types, folder)


def quantiles_sketch(error: float, most_values: int) -> Any:
    """The sketch by which TFT finds quantiles of one column of numbers.

    Args:
        error: Largest error of a rank, as a share of the number of values.
        most_values: Number of values up to which that is promised.
    """
    from tfx_bsl import sketches

    return sketches.QuantilesSketch(error, most_values, 1)


def mark_as_parquet(examples: "Artifact") -> None:
    """Sets TFX's payload format of an Examples artifact to Parquet."""
    from tfx.components.util import examples_utils
    from tfx.proto import example_gen_pb2

    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_PARQUET)
