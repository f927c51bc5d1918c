"""Trains DeepCTR's MMoE on arrays in memory; `training.py` runs this in an environment of its own.

    python deepctr_mmoe.py SPEC

SPEC is JSON: `arrays`, a folder of a .npy file a column and split; `ids`, table heights by feature;
`numbers`; `tasks`; `experts`, `expert_units`, `tower_units`, `embedding_dim`, `batch_size`,
`optimizer`, `policy` of Keras, `epochs`. A line of JSON an epoch has its seconds and processor
seconds; the last one has the tasks' AUCs on the test split.
"""

import json
import os
import sys
import time
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from deepctr.feature_column import DenseFeat, SparseFeat
from deepctr.models import MMOE


class EpochTimes(tf.keras.callbacks.Callback):
    """Prints the times of each epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.started = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        wall, processor = time.perf_counter(), time.process_time()
        seconds = {"seconds": wall - self.started[0], "processor": processor - self.started[1]}
        print(json.dumps(seconds), flush=True)


def main() -> None:
    spec = json.loads(sys.argv[1])
    tf.keras.mixed_precision.set_global_policy(spec["policy"])

    def column(split: str, name: str) -> np.ndarray:
        return np.load(f"{spec['arrays']}/{split}-{name}.npy")

    def arrays(split: str) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
        names = [*spec["ids"], *spec["numbers"]]
        labels = [column(split, f"label_{task}") for task in spec["tasks"]]
        return {name: column(split, name) for name in names}, labels

    columns = [
        *(
            SparseFeat(n, size, embedding_dim=spec["embedding_dim"])
            for n, size in spec["ids"].items()
        ),
        *(DenseFeat(name, 1) for name in spec["numbers"]),
    ]
    model = MMOE(
        columns,
        num_experts=spec["experts"],
        expert_dnn_hidden_units=tuple(spec["expert_units"]),
        tower_dnn_hidden_units=tuple(spec["tower_units"]),
        gate_dnn_hidden_units=(),
        l2_reg_embedding=0,
        task_types=("binary",) * len(spec["tasks"]),
        task_names=tuple(spec["tasks"]),
    )
    model.compile(spec["optimizer"], ["binary_crossentropy"] * len(spec["tasks"]))
    features, labels = arrays("train")
    model.fit(
        features,
        labels,
        batch_size=spec["batch_size"],
        epochs=spec["epochs"],
        verbose=0,
        callbacks=[EpochTimes()],
    )
    features, labels = arrays("test")
    predictions = model.predict(features, batch_size=8192, verbose=0)
    aucs = {
        task: auc(values, predicted[:, 0])
        for task, values, predicted in zip(spec["tasks"], labels, predictions, strict=True)
    }
    print(json.dumps({"auc": aucs, "parameters": model.count_params()}))


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """AUC by ranks; ties do not matter here."""
    ranks = np.empty(len(scores))
    ranks[np.argsort(scores)] = np.arange(1, len(scores) + 1)
    positives = labels.sum()
    pairs = positives * (len(labels) - positives)
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / pairs)


if __name__ == "__main__":
    main()
