"""``fit`` and ``evaluate`` over several hosts, where Keras's own step functions fail (keras#20585)."""

from typing import Any

import keras

from ssl_keras.learning import distribution


class MultiWorkerModel(keras.Model):
    """A model that is completely built when it is compiled, and whose steps return scalars by name."""

    train_function: Any
    test_function: Any
    steps_per_execution: int

    def make_train_function(self, force: bool = False) -> Any:
        """Keras's function on one host; over several, one that averages what their steps return."""
        if not distribution.spans_hosts(self.distribute_strategy):
            return super().make_train_function(force)
        if self.train_function is None or force:
            self.train_function = distribution.step_over_hosts(
                self.distribute_strategy, self.train_step, self.steps_per_execution
            )
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        """As :meth:`make_train_function`."""
        if not distribution.spans_hosts(self.distribute_strategy):
            return super().make_test_function(force)
        if self.test_function is None or force:
            self.test_function = distribution.step_over_hosts(
                self.distribute_strategy, self.test_step, self.steps_per_execution
            )
        return self.test_function

    def _maybe_symbolic_build(self, *_: Any, **__: Any) -> None:
        """Nothing is left to be built, and Keras's attempt takes a batch of all workers for one of its own."""
