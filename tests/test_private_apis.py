"""Private parts of other libraries: used in one place each, there, and as expected."""

import importlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tensorflow_transform as tft
import tf_keras as keras

from taskroute.components import private_apis
from taskroute.models.private_apis import optimizer_parts

ROOT = Path(__file__).parents[1]
# A name that is not public, and the only file that may hold it.
PLACES = {
    "._optimizers_and_vars": "models/private_apis.py",
    "stats_impl": "components/private_apis.py",
    "impl_helper": "components/private_apis.py",
    "from tfx_bsl import sketches": "components/private_apis.py",
    "tensorflow.python": "components/served/probe.py",
    "tfx.orchestration.local": "pipeline/dag/local_runner.py",
    "tfx.orchestration.portable": "pipeline/dag/local_runner.py",
    "tfx.dsl.compiler": "pipeline/dag/local_runner.py",
    "tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner": "pipeline/kubeflow/compiler.py",
    "tfx.orchestration.kubeflow.v2.container": "pipeline/kubeflow/entrypoint.py",
    "tfx.components.util": "components/private_apis.py",
}


@pytest.mark.parametrize("name", PLACES)
def test_what_is_private_is_used_in_one_place(name):
    folders = ("schemas", "models", "components", "pipeline")
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    used = [str(path.relative_to(ROOT)) for path in files if name in path.read_text()]
    assert used == [PLACES[name]]


@pytest.mark.parametrize(
    ("module", "member"),
    [
        ("tensorflow.python.framework.op_def_registry", "get"),
        ("tfx.orchestration.local.runner_utils", "extract_local_deployment_config"),
        ("tfx.orchestration.local.runner_utils", "extract_executor_spec"),
        ("tfx.orchestration.local.runner_utils", "extract_custom_driver_spec"),
        ("tfx.orchestration.portable.launcher", "Launcher"),
        ("tfx.orchestration.portable.runtime_parameter_utils", "substitute_runtime_parameter"),
        ("tfx.orchestration.portable.mlmd.execution_lib", "get_output_artifacts"),
        ("tfx.dsl.compiler.compiler", "Compiler"),
        ("tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner", "KubeflowV2DagRunner"),
        ("tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor", "main"),
        ("tfx.components.util.examples_utils", "set_payload_format"),
    ],
)
def test_what_is_private_is_still_there(module, member):
    assert callable(getattr(importlib.import_module(module), member))


def test_a_composite_optimizer_tells_its_parts():
    first, second = tf.Variable([1.0, 2.0]), tf.Variable([3.0])
    adam, sgd = keras.optimizers.Adam(0.1), keras.optimizers.SGD(0.1)
    both = tfrs.experimental.optimizers.CompositeOptimizer(
        [(adam, lambda: [first]), (sgd, lambda: [second])]
    )
    (one, one_moves), (other, other_moves) = optimizer_parts(both)
    assert (one, other) == (adam, sgd)
    assert one_moves[0] is first
    assert other_moves[0] is second
    # A count, the learning rate, and two moments of the weight.
    assert [tuple(variable.shape) for variable in one.variables][-2:] == [(2,), (2,)]


def test_statistics_add_up_over_accumulators():
    generators = private_apis.statistics_generators()
    accumulators = []
    for generator in generators:
        generator.setup()
        parts = []
        for values in ([[1.0], [3.0]], [[5.0], None]):
            rows = pa.record_batch({"x": pa.array(values, pa.list_(pa.float32()))})
            parts.append(generator.add_input(generator.create_accumulator(), rows))
        accumulators.append(generator.merge_accumulators(parts))
    (dataset,) = private_apis.extract_statistics(accumulators, generators).datasets
    (feature,) = dataset.features
    assert feature.num_stats.mean == 3
    assert feature.num_stats.common_stats.num_missing == 1


def test_a_traced_transform_is_one_that_tft_reads(tmp_path):
    private_apis.trace_transform(
        lambda columns: {"doubled": tf.sparse.to_dense(columns["x"])[:, 0] * 2},
        {"x": tf.io.VarLenFeature(tf.float32)},
        {"x": tf.SparseTensorSpec([None, None], tf.float32)},
        str(tmp_path),
    )
    layer = tft.TFTransformOutput(str(tmp_path)).transform_features_layer()
    column = tf.sparse.from_dense([[1.0], [4.0]])
    np.testing.assert_array_equal(layer({"x": column})["doubled"], [2, 8])


def test_the_sketch_finds_quantiles_and_merges():
    left, right = (private_apis.quantiles_sketch(1e-4, 1 << 20) for _ in range(2))
    left.AddValues(pa.array(np.arange(50.0)))
    right.AddValues(pa.array(np.arange(50.0, 101.0)))
    left.Merge(right)
    (found,) = left.GetQuantiles(4).to_pylist()
    assert found == [0, 25, 50, 75, 100]
