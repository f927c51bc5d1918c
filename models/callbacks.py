"""What TensorBoard shows of a training beside Keras's own curves."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.trunk import RoutingMatrix

_LOG = logging.getLogger(__name__)
_PIXELS = 24


class RoutingLog(keras.callbacks.Callback):
    """Writes, after each epoch, what the trunk routes: for TensorBoard, and as numbers.

    Every routing matrix is an image, in which a row is an upper part (in the last matrix a task), a
    column a lower one, and white a route fully open. Beside it stand its open routes and what the
    trunk changes by the step, such as a temperature. A task that keeps a route only because a guard
    holds it open is named in the log, once.

    Args:
        log_dir: Folder of the training's TensorBoard files.

    Attributes:
        history: After each epoch, `open_routes/MATRIX` and `schedule/NAME`.
    """

    def __init__(self, log_dir: str):
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self._writer = tf.summary.create_file_writer(str(Path(log_dir) / "routing"))
        self._named: set[str] = set()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        trunk = self.model.trunk
        with self._writer.as_default(step=epoch):
            for matrix in trunk.routing():
                open_routes = float(tf.math.count_nonzero(matrix.values))
                self._note(f"open_routes/{matrix.name}", open_routes)
                tf.summary.image(f"routing/{matrix.name}", _image(matrix))
            for name, value in trunk.schedule().items():
                self._note(f"schedule/{name}", float(value))
        for task in trunk.guarded_tasks():
            if task not in self._named:
                _LOG.warning(
                    "epoch %d: every route of task '%s' has closed; its strongest one is kept "
                    "open, so that the task is predicted at all; lower the trunk's penalty if the "
                    "task should learn more",
                    epoch + 1,
                    task,
                )
                self._named.add(task)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self._writer.close()

    def _note(self, name: str, value: float) -> None:
        self.history.setdefault(name, []).append(value)
        tf.summary.scalar(name, value)


class CurveLog:
    """Writes losses and metrics of train and validation, one point an epoch: for TensorBoard.

    Args:
        log_dir: Folder of the training's TensorBoard files.
        history: Curves of the epochs before, where a training goes on.
    """

    def __init__(self, log_dir: str, history: Mapping[str, Sequence[float]]):
        self._writers = {
            split: tf.summary.create_file_writer(str(Path(log_dir) / split))
            for split in ("train", "validation")
        }
        for name, values in history.items():
            for epoch, value in enumerate(values):
                self.write(epoch, {name: value})

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Adds the values of an epoch; names of validation begin with `val_`."""
        for name, value in values.items():
            split = "validation" if name.startswith("val_") else "train"
            with self._writers[split].as_default(step=epoch):
                tf.summary.scalar(f"epoch_{name.removeprefix('val_')}", value)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.close()


def _image(matrix: RoutingMatrix) -> tf.Tensor:
    """float32 (1, height, width, 1): a square of pixels for each route."""
    pixels = tf.repeat(tf.repeat(matrix.values, _PIXELS, axis=0), _PIXELS, axis=1)
    return pixels[tf.newaxis, :, :, tf.newaxis]
