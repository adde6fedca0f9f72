"""``fit`` over several hosts, where Keras's own step function fails (keras#20585)."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from ssl_keras.learning import distribution

Logs = dict[str, Any]


class MultiWorkerModel(keras.Model):
    """A model that is completely built when it is compiled, and whose ``train_step`` returns scalars by name."""

    train_function: Any

    def make_train_function(self, force: bool = False) -> Any:
        """Keras's function on one host; over several, one that averages what their steps return."""
        if not distribution.spans_hosts(self.distribute_strategy):
            return super().make_train_function(force)
        if self.train_function is None or force:
            self.train_function = self._over_hosts(self.steps_per_execution)
        return self.train_function

    def _over_hosts(self, steps: int) -> Callable[[Any], Logs]:
        among = self.distribute_strategy

        def step(batch: Any) -> Logs:
            logs = among.run(self.train_step, args=(batch,))
            return {name: among.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None) for name, value in logs.items()}

        @tf.function(reduce_retracing=True)
        def several(iterator: Any) -> Logs:
            for _ in range(steps - 1):
                step(next(iterator))
            return step(next(iterator))

        return several

    def _maybe_symbolic_build(self, *_: Any, **__: Any) -> None:
        """Nothing is left to be built, and Keras's attempt takes a batch of all workers for one of its own."""
