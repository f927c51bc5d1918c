"""Regularisers and counters on two replicas against one device.

In a process of its own, because a process must choose its devices before its first operation.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = """
import json
from taskroute import models
import tensorflow as tf
import tf_keras as keras
from pydantic import TypeAdapter
from taskroute.models.trunks import build_trunk
from taskroute.schemas import trunks

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
TASKS = ("a", "b")
ROW, EXPERTS = {"sub_networks": 3, "units": 4}, {"experts": 3, "units": 4}
CONFIGS = {
    "snr_trans": {
        "layers": [ROW, {**ROW, "sub_networks": 2}], "l0_penalty": 3.0, "l0_warmup_steps": 0
    },
    "snr_aver": {"layers": [ROW], "l0_penalty": 3.0, "l0_warmup_steps": 2},
    "gumbel_matrix": {"layers": [EXPERTS, {**EXPERTS, "experts": 2}], "budget": 0.2},
    "mmoe": {"layers": [EXPERTS]},
}


def make(kind):
    config = TypeAdapter(trunks.Trunk).validate_python({"kind": kind, **CONFIGS[kind]})
    return build_trunk(config, TASKS, 5)


def train(strategy, kind, steps):
    with strategy.scope():
        keras.utils.set_random_seed(1)
        trunk = make(kind)
        trunk(tf.zeros([2, 5]))
        optimizer = keras.optimizers.SGD(1.0)
        optimizer.build(trunk.trainable_variables)

    def step(inputs):
        with tf.GradientTape() as tape:
            trunk(inputs, training=True)
            loss = tf.add_n([*trunk.losses, tf.zeros([])]) / strategy.num_replicas_in_sync
        variables = trunk.routing_variables
        if variables:
            gradients = tape.gradient(loss, variables)
            optimizer.apply_gradients(zip(gradients, variables))

    run = tf.function(lambda x: strategy.run(step, args=(x,)))
    for index in range(steps):
        full = tf.random.stateless_normal([8, 5], [index, 0])
        parts = tf.split(full, strategy.num_replicas_in_sync)
        run(strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group]
        ))
    return {
        "routing": [value.numpy().tolist() for value in trunk.routing_variables],
        "step": int(trunk.step.numpy()) if hasattr(trunk, "step") else None,
        "usage": [m.values.numpy().tolist() for m in trunk.routing()] if not hasattr(trunk, "step")
                 else None,
    }


one = tf.distribute.OneDeviceStrategy("CPU:0")
two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert two.num_replicas_in_sync == 2
print(json.dumps({
    kind: [train(strategy, kind, 4) for strategy in (one, two)] for kind in CONFIGS
}))
"""


@pytest.fixture(scope="module")
def results():
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["snr_trans", "snr_aver", "gumbel_matrix"])
def test_the_regulariser_moves_the_gates_as_on_one_device(results, name):
    one, two = results[name]
    assert one["routing"]
    for left, right in zip(one["routing"], two["routing"], strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5)


@pytest.mark.parametrize("name", ["snr_trans", "snr_aver", "gumbel_matrix"])
def test_a_step_on_two_replicas_is_counted_once(results, name):
    assert [result["step"] for result in results[name]] == [4, 4]


def test_usage_is_the_mean_over_the_replicas(results):
    one, two = results["mmoe"]
    np.testing.assert_allclose(one["usage"], two["usage"], rtol=1e-5)
