"""Loop of many steps in one call of TensorFlow.

Python prepares each call while no core computes: up to a third of a step of 8 ms, since the thread
that reads the rows needs Python, too (docs/LOG.md).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import tensorflow as tf

# A call takes seconds at most: Ctrl-C works between calls.
_STEPS_PER_CALL = 64

Step: TypeAlias = Callable[[Mapping[str, tf.Tensor | tf.RaggedTensor]], Any]
StepLoop: TypeAlias = Callable[[Iterator[Any]], None]


def step_loop(step: Step) -> StepLoop:
    """Makes a function that takes a step on every remaining batch.

    Args:
        step: Function of one batch, called for its effects, such as on metrics; runs in each
            replica of the current strategy.
    """
    strategy = tf.distribute.get_strategy()
    # Workers gather the rows of sparse gradients, of which each call must have one number only.
    steps_per_call = _STEPS_PER_CALL if strategy.num_replicas_in_sync == 1 else 1

    @tf.autograph.experimental.do_not_convert
    def on_next(batches: Any) -> tf.Tensor:
        """Takes a step if there is a batch; returns whether there was one."""
        batch = batches.get_next_as_optional()

        @tf.autograph.experimental.do_not_convert
        def take() -> tf.Tensor:
            strategy.run(step, args=(batch.get_value(),))
            return tf.constant(True)

        return tf.cond(batch.has_value(), take, lambda: tf.constant(False))

    @tf.function(reduce_retracing=True, autograph=False)
    def steps(batches: Iterator[Any]) -> tf.Tensor:
        if steps_per_call == 1:
            return on_next(batches)
        more, _ = tf.while_loop(
            lambda more, taken: more & (taken < steps_per_call),
            lambda more, taken: (on_next(batches), taken + 1),
            (tf.constant(True), tf.constant(0)),
            parallel_iterations=1,
        )
        return more

    def all_steps(batches: Iterator[Any]) -> None:
        while steps(batches):
            pass

    return all_steps
