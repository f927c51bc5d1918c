"""TensorBoard's files of a training: losses, metrics and routes, a point an epoch."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import tensorflow as tf

from taskroute.models.layers.trunk import RoutingMatrix, Trunk

_LOG = logging.getLogger(__name__)
_PIXELS = 24
_OF_ROUTES = ("open_routes/", "schedule/")


class TrainingLog:
    """Writes the curves of train, of validation and of the trunk's routes.

    Every routing matrix is also an image, in which a row is an upper part (in the last matrix a
    task), a column a lower one, and white a route fully open. A task that keeps a route only
    because a guard holds it open is named in the log, once.

    Args:
        log_dir: Folder of the training's TensorBoard files.
        history: Curves of the epochs before, where a training goes on.
    """

    def __init__(self, log_dir: str, history: Mapping[str, Sequence[float]]):
        self._writers = {
            name: tf.summary.create_file_writer(str(Path(log_dir) / name))
            for name in ("train", "validation", "routing")
        }
        self._named: set[str] = set()
        for name, values in history.items():
            for epoch, value in enumerate(values):
                self.write(epoch, {name: value})

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Adds the values of an epoch; names of validation begin with `val_`."""
        for name, value in values.items():
            split = "validation" if name.startswith("val_") else "train"
            tag = f"epoch_{name.removeprefix('val_')}"
            if name.startswith(_OF_ROUTES):
                split, tag = "routing", name
            with self._writers[split].as_default(step=epoch):
                tf.summary.scalar(tag, value)

    def write_routes(self, epoch: int, trunk: Trunk) -> dict[str, float]:
        """Writes the routes of a trunk after an epoch.

        Returns:
            `open_routes/MATRIX`, and `schedule/NAME` of what the trunk changes by the step.
        """
        matrices = trunk.routing()
        for task in trunk.guarded_tasks():
            if task in self._named:
                continue
            _LOG.warning(
                "epoch %d: every route of task '%s' has closed; its strongest one is kept "
                "open, so that the task is predicted at all; lower the trunk's penalty if the "
                "task should learn more",
                epoch + 1,
                task,
            )
            self._named.add(task)
        with self._writers["routing"].as_default(step=epoch):
            for matrix in matrices:
                tf.summary.image(f"routing/{matrix.name}", _image(matrix))
        values = {
            **{f"open_routes/{m.name}": float(tf.math.count_nonzero(m.values)) for m in matrices},
            **{f"schedule/{name}": float(value) for name, value in trunk.schedule().items()},
        }
        self.write(epoch, values)
        return values

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.close()


def _image(matrix: RoutingMatrix) -> tf.Tensor:
    """float32 (1, height, width, 1): a square of pixels for each route."""
    pixels = tf.repeat(tf.repeat(matrix.values, _PIXELS, axis=0), _PIXELS, axis=1)
    return pixels[tf.newaxis, :, :, tf.newaxis]
