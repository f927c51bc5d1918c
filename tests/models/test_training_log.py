"""Route curves that a training writes."""

import logging

import pytest
import tensorflow as tf

from taskroute.models.layers.gumbel_matrix import GumbelMatrix
from taskroute.models.layers.sub_network_routing import SnrTrans
from taskroute.models.training_log import TrainingLog
from taskroute.schemas import trunks


def logged(trunk, folder, epochs=2):
    trunk(tf.zeros([2, 3]))
    with TrainingLog(str(folder), {}) as log:
        return [log.write_routes(epoch, trunk) for epoch in range(epochs)]


def tags(folder, split="routing"):
    (file,) = (folder / split).iterdir()
    return {
        value.tag
        for record in tf.data.TFRecordDataset(str(file))
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value
    }


def snr_trans(*counts):
    layers = [{"sub_networks": count, "units": 4} for count in counts]
    return SnrTrans(trunks.SnrTransTrunk(layers=layers), ["click", "like"])


def test_open_routes_and_the_schedule_are_written_after_each_epoch(tmp_path):
    trunk = snr_trans(2, 3)
    log = logged(trunk, tmp_path)
    for values in log:
        assert values["open_routes/layer_2"] == 6
        assert values["open_routes/tasks"] == 6
        assert values["schedule/l0_penalty"] == 0
    assert tags(tmp_path) >= {"open_routes/tasks", "routing/tasks", "schedule/l0_penalty"}


def test_a_temperature_is_part_of_the_schedule(tmp_path):
    trunk = GumbelMatrix(trunks.GumbelMatrixTrunk(), ["click", "like"])
    log = logged(trunk, tmp_path)
    (name,) = (name for name in log[0] if name.startswith("schedule/temperature"))
    start = trunk.config.temperature_start
    assert [values[name] for values in log] == [pytest.approx(start)] * 2


def test_a_task_that_a_guard_keeps_alive_is_named_once(tmp_path, caplog):
    trunk = snr_trans(2)
    trunk(tf.zeros([2, 3]))
    (log_alpha,) = trunk.routing_variables
    log_alpha.assign([[2.0, 2.0], [-9.0, -8.0]])
    with caplog.at_level(logging.WARNING):
        logged(trunk, tmp_path)
    (message,) = (record.getMessage() for record in caplog.records if "closed" in record.message)
    assert "every route of task 'like' has closed" in message


def test_a_training_that_goes_on_has_every_curve_where_it_was(tmp_path):
    history = {"loss": [2.0, 1.0], "val_loss": [3.0, 2.0], "open_routes/tasks": [6.0, 5.0]}
    with TrainingLog(str(tmp_path), history):
        pass
    assert tags(tmp_path, "train") == tags(tmp_path, "validation") == {"epoch_loss"}
    assert tags(tmp_path) == {"open_routes/tasks"}
