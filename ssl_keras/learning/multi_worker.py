"""``fit`` over several hosts, where Keras's own step function fails (keras#20585)."""

from typing import Any

import keras

from ssl_keras.learning import distribution


class MultiWorkerModel(keras.Model):
    """A model that is completely built when it is compiled, and whose ``train_step`` returns scalars by name."""

    train_function: Any

    def make_train_function(self, force: bool = False) -> Any:
        """Keras's function on one host; over several, one that averages what their steps return."""
        if not distribution.spans_hosts(self.distribute_strategy):
            return super().make_train_function(force)
        if self.train_function is None or force:
            self.train_function = distribution.step_over_hosts(
                self.distribute_strategy, self.train_step, self.steps_per_execution
            )
        return self.train_function

    def _maybe_symbolic_build(self, *_: Any, **__: Any) -> None:
        """Nothing is left to be built, and Keras's attempt takes a batch of all workers for one of its own."""
