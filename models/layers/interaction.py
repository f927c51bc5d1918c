"""Products of features, between the embeddings and the trunk.

Shape letters: B batch, D width of the embedded features, E width of what the trunk reads, F number
of features that have embeddings, W width of each of these.
"""

import abc
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras as keras

from taskroute.schemas import interactions

# A number of a log may be anything, and products of such numbers would be infinite.
_LARGEST_FACTOR = 1000.0


class Interaction(keras.layers.Layer, abc.ABC):
    """Multiplies features with one another: call (B, D) -> (B, E)."""

    def output_width(self, input_width: int) -> int:
        """E for a D."""
        return input_width

    @abc.abstractmethod
    def macs(self) -> int:
        """Multiply-accumulates of a row, once built."""


class NoInteraction(Interaction):
    """The trunk reads the embedded features as they are.

    Args:
        **kwargs: Of every Keras layer.

    Call arguments:
        inputs: float tensor (B, D).

    Returns:
        The same.

    Raises:
        ValueError: Never.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs

    def macs(self) -> int:
        return 0


class CrossNetwork(Interaction):
    """Cross layers of DCN-V2, one on the other, each `x_{l+1} = x_0 * (W_l x_l + b_l) + x_l`.

    Reference: Wang et al., "DCN V2", WWW 2021, Eq. 1, and Eq. 2 with a rank, where W is a product
    of (D, rank) and (rank, D) matrices. https://arxiv.org/abs/2008.13535. The layers are those of
    TensorFlow Recommenders. Where we differ: inputs beyond 1,000, which no scaled number reaches,
    count as 1,000, or one of them would make a score NaN.

    Args:
        config: Number of layers, and the rank of W; None: W is one (D, D) matrix.

    Call arguments:
        inputs: float tensor (B, D).

    Returns:
        (B, D).

    Raises:
        ValueError: Never.
    """

    def __init__(self, config: interactions.CrossInteraction, **kwargs: Any):
        super().__init__(**kwargs)
        self._layers = [
            tfrs.layers.dcn.Cross(projection_dim=config.rank, dtype=self.dtype_policy)
            for _ in range(config.layers)
        ]

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        first = crossed = tf.clip_by_value(inputs, -_LARGEST_FACTOR, _LARGEST_FACTOR)
        for layer in self._layers:
            crossed = layer(first, crossed)
        return crossed

    def macs(self) -> int:
        kernels = (weight for weight in self.weights if weight.shape.rank == 2)
        return sum(kernel.shape.num_elements() for kernel in kernels)


class DotProducts(Interaction):
    """The dot product of every two embeddings, after all that was there before.

    Reference: Naumov et al., "Deep Learning Recommendation Model for Personalization and
    Recommendation Systems", 2019, section 2.1.3. https://arxiv.org/abs/1906.00091. The products are
    those of TensorFlow Recommenders. Where we differ: the embeddings themselves stay beside them,
    as numbers do, which are in no product.

    Args:
        num_embeddings: F, at least 2; they are the first F * W units of the input.
        width: W.

    Call arguments:
        inputs: float tensor (B, D).

    Returns:
        (B, D + F (F - 1) / 2).

    Raises:
        ValueError: If there are no two embeddings, or they have no width.
    """

    def __init__(self, num_embeddings: int, width: int, **kwargs: Any):
        if num_embeddings < 2 or width <= 0:
            raise ValueError(
                "`num_embeddings` must be at least 2 and `width` positive. Received: "
                f"num_embeddings={num_embeddings}, width={width}"
            )
        super().__init__(**kwargs)
        self.num_embeddings, self.width = num_embeddings, width
        # All F * F of them, of which half are 0, and then those that are not: to choose among them
        # by a mask, as it else does, has no shape that XLA could know.
        self._products = tfrs.layers.feature_interaction.DotInteraction(
            skip_gather=True, dtype=self.dtype_policy
        )
        self._pairs = [
            row * num_embeddings + column for row in range(num_embeddings) for column in range(row)
        ]

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        embedded = inputs[:, : self.num_embeddings * self.width]
        products = self._products(tf.split(embedded, self.num_embeddings, axis=1))
        return tf.concat([inputs, tf.gather(products, self._pairs, axis=1)], axis=1)

    def output_width(self, input_width: int) -> int:
        return input_width + len(self._pairs)

    def macs(self) -> int:
        return self.num_embeddings**2 * self.width
