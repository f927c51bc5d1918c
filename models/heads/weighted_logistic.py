"""Expected seconds as odds."""

import numpy as np
import tensorflow as tf

from taskroute.models.heads.head import Floats, Head

_LARGEST_LOGIT = 60.0
_SMALLEST_MEAN = 1e-6


class WeightedLogisticHead(Head):
    """Logistic regression whose odds are the mean of the label: `y log(1 + e^-f) + log(1 + e^f)`.

    Each row is a negative of weight 1 and, where it was watched, a positive of weight y; the
    prediction is `e^f`. The expected loss is least at `e^f = E[y | x]`, for any distribution, and
    its gradient grows linearly with y.

    Reference: Covington, Adams, Sargin, "Deep Neural Networks for YouTube Recommendations",
    RecSys 2016, section 4.2. There a watched row is a positive only, and the odds are
    `E[y] / (1 - p)` for a share p of watched rows: 10 % too high where a tenth is watched, infinite
    where all are. Ours counts every row as a negative, which has no such bias and may be trained on
    watched rows alone.
    """

    def row_losses(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return labels * tf.nn.softplus(-logits) + tf.nn.softplus(logits)

    def value(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.exp(tf.minimum(logits, _LARGEST_LOGIT))

    def start(self, labels: Floats, weights: Floats) -> float:
        mean = max(np.sum(labels * weights) / max(np.sum(weights), 1.0), _SMALLEST_MEAN)
        logit = np.log(mean)
        self.bias.assign([logit])
        return float(mean * np.logaddexp(0, -logit) + np.logaddexp(0, logit))
