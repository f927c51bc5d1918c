"""Probability of an event, alone or in a funnel."""

import numpy as np
import tensorflow as tf

from taskroute.models.heads.head import Floats, Head


class BinaryHead(Head):
    """Cross entropy of a label of 0 or 1; the probability is served."""

    def row_losses(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)

    def value(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(logits)

    def start(self, labels: Floats, weights: Floats) -> float:
        # Half a row of either class: a rate of 0 has no logit.
        rate = (np.sum(labels * weights) + 0.5) / (np.sum(weights) + 1.0)
        self.bias.assign([np.log(rate / (1 - rate))])
        return float(-rate * np.log(rate) - (1 - rate) * np.log(1 - rate))


def joint_logits(first: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
    """Logit of `sigmoid(first) * sigmoid(after)`, computed on logits.

    With `p = 1 / ((1 + e^-a)(1 + e^-b))` the odds are `1 / (e^-a + e^-b + e^-(a+b))`: no
    probability is rounded to 0 or 1 on the way.

    Reference: Ma et al., "Entire Space Multi-Task Model: An Effective Approach for Estimating
    Post-Click Conversion Rate", SIGIR 2018, Eq. 2: a conversion is learned over all impressions as
    click and conversion at once; learned on clicked rows alone it would be biased.

    Args:
        first: Logits of the first event: float32 (B,).
        after: Logits of the second event, given the first: float32 (B,).
    """
    return -tf.reduce_logsumexp(tf.stack([-first, -after, -first - after]), axis=0)
