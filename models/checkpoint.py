"""What a training leaves after each epoch, so that the same command goes on where it was killed.

A folder holds one training: `progress.json`, written last and whole, and beside it the weights and
the optimizer's state after the last epoch and after the best one.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import tensorflow as tf

from taskroute.models.distribution import own_folder
from taskroute.models.private_apis import optimizer_parts
from taskroute.models.ranker import MultiTaskRanker
from taskroute.schemas.whole_files import write_whole

_PROGRESS_FILE = "progress.json"


@dataclass
class Progress:
    """Where a training is; with the variables, all that it needs to go on.

    Attributes:
        epochs: How many are done; the order of an epoch's rows follows from its number.
        best_epoch: The one with the lowest validation loss so far, from 1; 0 before there is any.
        history: Curves by name, a value an epoch.
    """

    epochs: int = 0
    best_epoch: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)

    def add_epoch(self, values: dict[str, float]) -> None:
        """Counts an epoch; `values` hold its `val_loss`."""
        best = self.history["val_loss"][self.best_epoch - 1] if self.best_epoch else float("inf")
        for name, value in values.items():
            self.history.setdefault(name, []).append(float(value))
        self.epochs += 1
        if self.history["val_loss"][-1] < best:
            self.best_epoch = self.epochs


class Checkpoints:
    """The checkpoints of one training, in one folder.

    Args:
        ranker: Built and compiled. Its weights are saved, and so is its optimizer.
        folder: Of this training alone: whoever gives it again must mean the same code, config and
            data. Workers of one training must all see it; the chief's files are what is kept.
    """

    def __init__(self, ranker: MultiTaskRanker, folder: str):
        self._folder = folder
        self._write_to = own_folder(folder)
        self._checkpoint = tf.train.Checkpoint(
            weights=ranker.model_weights(),
            balancer=list(ranker.balancer.weights),
            optimizer=optimizer_variables(ranker),
        )

    def save(self, progress: Progress) -> None:
        """Keeps the state after `progress.epochs`, and that after the best epoch."""
        tf.io.gfile.makedirs(self._write_to)
        self._checkpoint.write(f"{self._write_to}/{_name(progress.epochs)}")
        write_whole(Path(self._write_to, _PROGRESS_FILE), json.dumps(asdict(progress)))
        kept = {_name(progress.epochs), _name(progress.best_epoch)}
        for name in tf.io.gfile.listdir(self._write_to):
            if name.startswith("epoch-") and name.partition(".")[0] not in kept:
                tf.io.gfile.remove(f"{self._write_to}/{name}")

    def resume(self) -> Progress:
        """Loads the state after the last epoch that was saved; nothing where there is none."""
        path = f"{self._folder}/{_PROGRESS_FILE}"
        if not tf.io.gfile.exists(path):
            return Progress()
        with tf.io.gfile.GFile(path) as file:
            progress = Progress(**json.loads(file.read()))
        self._checkpoint.read(f"{self._folder}/{_name(progress.epochs)}").assert_consumed()
        return progress

    def load_best(self, progress: Progress) -> None:
        """Loads the state after the best epoch."""
        if progress.best_epoch not in (0, progress.epochs):
            path = f"{self._folder}/{_name(progress.best_epoch)}"
            self._checkpoint.read(path).assert_consumed()


def optimizer_variables(ranker: MultiTaskRanker) -> list[tf.Variable]:
    """The state of every optimizer of a compiled ranker, made where it is not there yet."""
    return [
        variable
        for optimizer, _ in optimizer_parts(ranker.optimizer)
        for variable in optimizer.variables
    ]


def _name(epoch: int) -> str:
    return f"epoch-{epoch}"
