"""Latency of a request: models are exported as they would be served, and called in turn."""

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from taskroute.models.export import TRANSFORMED_FEATURES, ServedRanker
from taskroute.models.warm_up import request_rows
from taskroute.pipeline.experiments.shared_data import SharedData
from taskroute.schemas.columns import feature_columns
from taskroute.schemas.recommender import RecommenderConfig

_ROWS_FILE = "rows.npz"
_MODEL_FOLDER = "model"
_LATENCY_CALLS = 100


def write_model(
    served: ServedRanker, config: RecommenderConfig, data: SharedData, folder: Path
) -> None:
    """Writes a SavedModel, and beside it a request of the largest batch size, from real rows.

    The folder is whole, or not there.
    """
    beside = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    tf.saved_model.save(served, str(beside / _MODEL_FOLDER), signatures=served.signatures())
    size = config.serving.batch_sizes[-1]
    names = [column.name for column in feature_columns(config)]
    examples = tf.constant(request_rows(data.raw_files("validation"), size, names))
    features = served.requests(served.columns(examples), examples)[TRANSFORMED_FEATURES]
    rows = np.arange(size) % len(examples)
    np.savez(beside / _ROWS_FILE, **{name: x.numpy()[rows] for name, x in features.items()})
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(beside, folder)


def median_latency(folders: Mapping[str, Path]) -> dict[str, float]:
    """Median milliseconds of a request of the largest batch size, by model name.

    Calls the signature that reads transformed features: text and its look-up are the same for all.
    The models take turns, call by call, so that other work of the machine falls on all alike.

    Args:
        folders: Folders by model name, written by `write_model`.
    """
    calls = {}
    for name, folder in folders.items():
        # A signature alone does not keep the model's variables alive.
        model = tf.saved_model.load(str(folder / _MODEL_FOLDER))
        with np.load(folder / _ROWS_FILE) as arrays:
            inputs = {feature: tf.constant(arrays[feature]) for feature in arrays.files}
        calls[name] = (model, model.signatures[TRANSFORMED_FEATURES], inputs)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(_LATENCY_CALLS + 3):
        for name, (_, signature, inputs) in calls.items():
            start = time.perf_counter()
            for values in signature(**inputs).values():
                values.numpy()
            if turn >= 3:  # the first ones trace and allocate
                seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * float(np.median(times)) for name, times in seconds.items()}
