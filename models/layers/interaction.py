"""Products of features, between the embeddings and the trunk.

Shape letters: B batch, D width of the embedded features, E width of the trunk's input, F number of
embeddings, W width of each of these.
"""

import abc
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras as keras

from taskroute.schemas import interactions

# Numbers of a log have no limit, and their products would become infinite.
_LARGEST_FACTOR = 1000.0


class Interaction(keras.layers.Layer, abc.ABC):
    """Multiplies features with one another: call (B, D) -> (B, E)."""

    def output_width(self, input_width: int) -> int:
        """Width of the output, E, for an input of width D."""
        return input_width

    @abc.abstractmethod
    def macs(self) -> int:
        """Multiply-accumulates of a row, once built."""


class NoInteraction(Interaction):
    """Passes the embedded features to the trunk unchanged.

    Args:
        **kwargs: Arguments of every Keras layer.

    Call arguments:
        inputs: float tensor (B, D).

    Returns:
        The inputs.

    Raises:
        ValueError: Never.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs

    def macs(self) -> int:
        return 0


class CrossNetwork(Interaction):
    """Stacked cross layers of DCN-V2, each `x_{l+1} = x_0 * (W_l x_l + b_l) + x_l`.

    Reference: Wang et al., "DCN V2", WWW 2021, Eq. 1, and Eq. 2 with a rank, where W is a product
    of (D, rank) and (rank, D) matrices. https://arxiv.org/abs/2008.13535. The layers are those of
    TensorFlow Recommenders. Where we differ: inputs beyond 1,000, which no scaled number reaches,
    are clipped to 1,000, or one of them could make a score NaN.

    Args:
        config: Config of the number of layers and the rank of W; without a rank, W is (D, D).

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
    """Dot products of every two embeddings, appended to the embedded features.

    Reference: Naumov et al., "Deep Learning Recommendation Model for Personalization and
    Recommendation Systems", 2019, section 2.1.3. https://arxiv.org/abs/1906.00091. The products are
    those of TensorFlow Recommenders. Where we differ: the embeddings themselves stay beside them,
    and so do numbers, which are in no product.

    Args:
        num_embeddings: Number of embeddings, F, at least 2: the first F * W units of the input.
        width: Width of each embedding, W.

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
        # The layer makes all F * F products, half of them 0, and `_pairs` selects the others: its
        # own selection by a mask has no shape that XLA could know.
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
