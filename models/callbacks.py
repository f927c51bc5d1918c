"""What TensorBoard shows of a training beside Keras's own curves."""

from pathlib import Path

import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.trunk import RoutingMatrix

_PIXELS = 24


class RoutingLog(keras.callbacks.Callback):
    """Writes, after each epoch, every routing matrix as an image and its open routes as a number.

    In the image a row is an upper part (in the last matrix a task), a column a lower one, and white
    is a route fully open.

    Args:
        log_dir: Folder of the training's TensorBoard files.

    Attributes:
        history: By matrix name, the open routes after each epoch.
    """

    def __init__(self, log_dir: str):
        super().__init__()
        self.history: dict[str, list[int]] = {}
        self._writer = tf.summary.create_file_writer(str(Path(log_dir) / "routing"))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        with self._writer.as_default(step=epoch):
            for matrix in self.model.trunk.routing():
                count = int(tf.math.count_nonzero(matrix.values))
                self.history.setdefault(matrix.name, []).append(count)
                tf.summary.scalar(f"open_routes/{matrix.name}", count)
                tf.summary.image(f"routing/{matrix.name}", _image(matrix))

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self._writer.close()


def _image(matrix: RoutingMatrix) -> tf.Tensor:
    """float32 (1, height, width, 1): a square of pixels for each route."""
    pixels = tf.repeat(tf.repeat(matrix.values, _PIXELS, axis=0), _PIXELS, axis=1)
    return pixels[tf.newaxis, :, :, tf.newaxis]
