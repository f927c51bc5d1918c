"""Two workers on this machine against one with the joint batch."""

import json
import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from taskroute.models.distribution import distributed, is_chief, own_folder, share_batches
from taskroute.schemas.errors import ConfigError
from taskroute.schemas.training import Training

# Fits on rows that are the same in every worker; prints what it came to and what it wrote.
_WORKER = """
import json, sys
from pathlib import Path
import taskroute.models
import numpy as np
import tensorflow as tf
import tf_keras as keras
from taskroute.models.distribution import distributed, own_folder
from taskroute.models.fitting import fit
from taskroute.models.training import build_ranker
from taskroute.schemas.recommender import ModelConfig

config = ModelConfig.model_validate_json(sys.argv[1])
random, number = np.random.default_rng(0), 1_010
user = random.integers(1, 50, number)
click = (random.random(number) < 1 / (1 + np.exp(-2 * random.normal(size=50)[user]))) * 1.0
like = click * (random.random(number) < 0.3)
lengths = random.integers(0, 4, number)
rows = {
    "user": user,
    "age": random.normal(size=number).astype(np.float32),
    "age_missing": np.zeros(number, np.float32),
    "label/click": click.astype(np.float32),
    "weight/click": np.ones(number, np.float32),
    "label/like": like.astype(np.float32),
    "weight/like": click.astype(np.float32),
}
tags = random.integers(1, 9, lengths.sum())
with distributed(config.training):
    rows["tags"] = tf.RaggedTensor.from_row_lengths(tags, lengths)
    dataset = tf.data.Dataset.from_tensor_slices(rows)
    keras.utils.set_random_seed(1)
    train = lambda epoch: dataset.shuffle(number, seed=epoch).batch(64)
    ids = {"user": 50, "tags": 9}
    ranker = build_ranker(config, ids, train(0))
    folder = sys.argv[2]
    history = fit(ranker, train, dataset.batch(4096), config.training, own_folder(folder), folder)
    sums = [float(np.sum(np.abs(weight.numpy()))) for weight in ranker.trainable_variables]
print(json.dumps({"history": history, "sums": sums}))
"""


def config(**training):
    return {
        "features": [
            {"name": "user", "kind": "categorical", "hash_buckets": 49, "embedding_dim": 4},
            {"name": "tags", "kind": "multivalent", "hash_buckets": 8, "embedding_dim": 4},
            {"name": "age", "kind": "dense"},
        ],
        "tasks": [
            {"name": "click", "label": {"column": "c"}},
            {"name": "like", "label": {"column": "l"}, "trained_where": "click"},
        ],
        "trunk": {"kind": "snr_trans", "layers": [{"sub_networks": 2, "units": 8}]},
        "training": {"batch_size": 64, "epochs": 3, "patience": 3, **training},
    }


def start(folder, cluster=None, index=0, **training):
    environment = {**os.environ}
    if cluster is not None:
        task = {"type": "worker", "index": index}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": cluster}, "task": task})
    return subprocess.Popen(
        [sys.executable, "-c", _WORKER, json.dumps(config(**training)), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finished(process):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(output.splitlines()[-1])


def free_addresses(number):
    sockets = [socket.socket() for _ in range(number)]
    for opened in sockets:
        opened.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{opened.getsockname()[1]}" for opened in sockets]
    for opened in sockets:
        opened.close()
    return addresses


@pytest.mark.slow
def test_two_workers_come_to_what_one_with_the_joint_batch_comes_to(tmp_path):
    cluster = free_addresses(2)
    workers = [
        start(tmp_path / "two", cluster, index, strategy="multi_worker") for index in range(2)
    ]
    one = start(tmp_path / "one")
    first, second = map(finished, workers)
    alone = finished(one)
    assert first == second
    for name, values in alone["history"].items():
        np.testing.assert_allclose(first["history"][name], values, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(first["sums"], alone["sums"], rtol=1e-3)
    # The chief alone has written, and only what one would have.
    names = [
        {path.relative_to(tmp_path / folder).parts[0] for path in (tmp_path / folder).rglob("*")}
        for folder in ("one", "two")
    ]
    assert names[0] == names[1]


def test_one_replica_gets_every_row_as_it_is():
    dataset = tf.data.Dataset.range(10).batch(4)
    assert share_batches(dataset, 4) is dataset
    assert is_chief()
    assert own_folder("somewhere") == "somewhere"


# Deals rows out to two devices of one worker; prints what each of them gets in each step.
_DEAL_OUT = """
import json
import taskroute.models
import tensorflow as tf
from taskroute.models.distribution import share_batches

cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
rows = {"row": tf.range(22), "list": tf.ragged.range(tf.range(22))}
dataset = tf.data.Dataset.from_tensor_slices(rows).batch(8)
with strategy.scope():
    steps = [
        [part.numpy().tolist() for part in strategy.experimental_local_results(batch["row"])]
        for batch in share_batches(dataset, 8)
    ]
print(json.dumps(steps))
"""


@pytest.mark.slow
def test_every_row_is_dealt_out_once_in_the_batch_that_it_belongs_to():
    ended = subprocess.run(
        [sys.executable, "-c", _DEAL_OUT], capture_output=True, text=True, check=True
    )
    steps = json.loads(ended.stdout.splitlines()[-1])
    together = [sorted(row for part in parts for row in part) for parts in steps]
    assert together == [list(range(8)), list(range(8, 16)), list(range(16, 22))]
    assert all(len(part) == 4 for parts in steps[:2] for part in parts)


def test_a_batch_that_cannot_be_shared_out_is_refused(monkeypatch):
    two = SimpleNamespace(num_replicas_in_sync=2)
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: two)
    training = Training(batch_size=7, strategy="mirrored")
    with (
        pytest.raises(ConfigError, match="cannot be shared out evenly to 2"),
        distributed(training),
    ):
        pass


def test_the_precision_is_as_it_was_after_a_training():
    with distributed(Training(mixed_precision=True)):
        assert keras.mixed_precision.global_policy().name == "mixed_bfloat16"
    assert keras.mixed_precision.global_policy().name == "float32"
