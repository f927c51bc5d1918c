"""What a training writes about its routes."""

import logging
from types import SimpleNamespace

import pytest
import tensorflow as tf

from taskroute.models.callbacks import RoutingLog
from taskroute.models.layers.gumbel_matrix import GumbelMatrix
from taskroute.models.layers.sub_network_routing import SnrTrans
from taskroute.schemas import trunks


def logged(trunk, folder, epochs=2):
    trunk(tf.zeros([2, 3]))
    log = RoutingLog(str(folder))
    log.set_model(SimpleNamespace(trunk=trunk))
    for epoch in range(epochs):
        log.on_epoch_end(epoch)
    log.on_train_end()
    return log


def tags(folder):
    (file,) = (folder / "routing").iterdir()
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
    assert log.history["open_routes/layer_2"] == [6, 6]
    assert log.history["open_routes/tasks"] == [6, 6]
    assert log.history["schedule/l0_penalty"] == [0, 0]
    assert tags(tmp_path) >= {"open_routes/tasks", "routing/tasks", "schedule/l0_penalty"}


def test_a_temperature_is_part_of_the_schedule(tmp_path):
    trunk = GumbelMatrix(trunks.GumbelMatrixTrunk(), ["click", "like"])
    log = logged(trunk, tmp_path)
    (name,) = (name for name in log.history if name.startswith("schedule/temperature"))
    assert log.history[name] == [pytest.approx(trunk.config.temperature_start)] * 2


def test_a_task_that_a_guard_keeps_alive_is_named_once(tmp_path, caplog):
    trunk = snr_trans(2)
    trunk(tf.zeros([2, 3]))
    (log_alpha,) = trunk.routing_variables
    log_alpha.assign([[2.0, 2.0], [-9.0, -8.0]])
    with caplog.at_level(logging.WARNING):
        logged(trunk, tmp_path)
    (message,) = (record.getMessage() for record in caplog.records if "closed" in record.message)
    assert "every route of task 'like' has closed" in message
