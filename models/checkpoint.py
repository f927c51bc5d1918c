"""Progress of a training or a search, so that the same command goes on where it was killed.

A folder holds one of them: `progress.json`, written last and whole, and beside it the weights and
the optimizer's state at the moments that it names.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from taskroute.models.distribution import own_folder
from taskroute.models.private_apis import optimizer_parts
from taskroute.models.ranker import MultiTaskRanker
from taskroute.schemas.whole_files import write_whole

_PROGRESS = "progress"


class Checkpoints:
    """Checkpoints of one training or search, in one folder.

    Args:
        ranker: Built and compiled. Its weights are saved, and so is its optimizer.
        folder: Folder of this work alone: a caller that gives it again must mean the same code,
            config and data. Workers of one training must all see it; the chief's files are kept.
    """

    def __init__(self, ranker: MultiTaskRanker, folder: str):
        self._folder = folder
        self._write_to = own_folder(folder)
        self._checkpoint = tf.train.Checkpoint(
            weights=ranker.model_weights(),
            balancer=list(ranker.balancer.weights),
            optimizer=optimizer_variables(ranker),
        )

    def save(self, name: str, progress: Mapping[str, Any], keep: Iterable[str] = ()) -> None:
        """Keeps the present variables.

        Args:
            name: Name of this moment.
            progress: JSON that `read` gives from now on.
            keep: Names of earlier moments; the files of all others are removed.
        """
        tf.io.gfile.makedirs(self._write_to)
        self._checkpoint.write(f"{self._write_to}/{name}")
        write_whole(Path(self._write_to, f"{_PROGRESS}.json"), json.dumps(progress))
        for file in tf.io.gfile.listdir(self._write_to):
            moment, _, part = file.partition(".")
            if part.startswith(("index", "data-")) and moment not in {name, *keep}:
                tf.io.gfile.remove(f"{self._write_to}/{file}")

    def read(self) -> Any:
        """Progress that was saved last, if there is any."""
        path = f"{self._folder}/{_PROGRESS}.json"
        if not tf.io.gfile.exists(path):
            return None
        with tf.io.gfile.GFile(path) as file:
            return json.loads(file.read())

    def load(self, name: str) -> None:
        """Gives the variables the values of a moment that was kept."""
        self._checkpoint.read(f"{self._folder}/{name}").assert_consumed()


def optimizer_variables(ranker: MultiTaskRanker) -> list[tf.Variable]:
    """State of every optimizer of a compiled ranker, made where it is not there yet."""
    return [
        variable
        for optimizer, _ in optimizer_parts(ranker.optimizer)
        for variable in optimizer.variables
    ]
