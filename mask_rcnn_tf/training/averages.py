"""The moving average of the weights, which Keras's optimizers keep, in the place of the weights while they are scored.

Keras's `SwapEMAWeights` swaps by sums and differences, which round: a run that was scored would go on otherwise than
one that was resumed. Here the weights are kept and given back bit for bit.
"""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np


class AveragedWeights:
    """Puts the averages of the trained variables in their place, and the variables back.

    Statistics of batch norms are running means already, and stay. Without `use_ema` nothing is done.
    """

    def __init__(self):
        self.kept: list[np.ndarray] = []

    def use(self, model: keras.Model):
        """The variables of a `model`, compiled, its optimizer built, become their averages."""
        pairs = _pairs(model)
        self.kept = [variable.numpy() for variable, _ in pairs]
        for variable, average in pairs:
            variable.assign(average)

    def give_back(self, model: keras.Model):
        """The variables become what they were before `use`; may be called again."""
        for (variable, _), value in zip(_pairs(model), self.kept, strict=False):  # nothing is kept before `use`
            variable.assign(value)

    @contextlib.contextmanager
    def used(self, model: keras.Model) -> Iterator[None]:
        """`use`, and in the end `give_back`."""
        self.use(model)
        try:
            yield
        finally:
            self.give_back(model)


def _pairs(model):
    """(variable, its average) of what is trained."""
    if not model.optimizer.use_ema:
        return []
    named = {variable.name: variable for variable in model.optimizer.variables}
    return [(item, named[f"{item.path.replace('/', '_')}_average"]) for item in model.trainable_variables]


class UseAverages(keras.callbacks.Callback):
    """At an epoch's end the weights become their averages; placed before what scores and saves.

    Args:
      averages: `AveragedWeights`.
    """

    def __init__(self, averages: AveragedWeights):
        super().__init__()
        self.averages = averages

    def on_epoch_end(self, epoch: int, logs: dict | None = None):
        """Puts the averages in place."""
        self.averages.use(self.model)


class UseWeights(keras.callbacks.Callback):
    """At an epoch's end the weights come back; placed after what scores and saves.

    Args:
      averages: `AveragedWeights`.
    """

    def __init__(self, averages: AveragedWeights):
        super().__init__()
        self.averages = averages

    def on_epoch_end(self, epoch: int, logs: dict | None = None):
        """Gives the weights back."""
        self.averages.give_back(self.model)

    def on_train_end(self, logs: dict | None = None):
        """Gives them back once more: `fit` has put the averages in place for good, and the next `fit` goes on."""
        self.averages.give_back(self.model)
