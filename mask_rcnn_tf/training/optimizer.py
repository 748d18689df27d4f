"""SGD as PyTorch computes it: the optimizer of Detectron2's and torchvision's recipes."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.models.sublayers import sublayers

NORM_LAYERS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
)


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class TorchSGD(keras.optimizers.Optimizer):
    """Momentum SGD with the order of operations of `torch.optim.SGD` after `clip_grad_norm_`.

    Gradients are summed over the replicas, clipped by their global norm, get `weight_decay * variable` added, and go
    into velocity = momentum * velocity + gradient; then variable -= learning_rate * velocity. Keras's SGD keeps the
    learning rate inside the velocity (another path whenever it changes), decouples `weight_decay` and clips before the
    sum.

    Slots and exclusions are saved by the position of the variable in the list that the optimizer was built with.

    Args:
      learning_rate: float, or a `LearningRateSchedule`.
      momentum: float from 0 to 1; no dampening, not Nesterov's.
      weight_decay: L2 coefficient added to the gradient, except of variables given to `exclude_from_weight_decay`.
      clip_norm: float, largest global norm of all gradients together; 0 clips nothing.
      name: of the optimizer.
      excluded: positions of variables without weight decay; `get_config` fills it in, users call
        `exclude_from_weight_decay`.
      use_ema, ema_momentum, ema_overwrite_frequency: Keras's moving average of the variables.

    Raises:
      ValueError: an argument is out of its range.

    Source: `torch/optim/sgd.py` and `torch/nn/utils/clip_grad.py`.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.02,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        clip_norm: float = 0.0,
        name: str = "torch_sgd",
        excluded: Sequence[int] = (),
        *,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
    ):
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum is {momentum!r}; allowed: a number from 0 to 1.")
        for argument, value in (("weight_decay", weight_decay), ("clip_norm", clip_norm)):
            if not value >= 0:
                raise ValueError(f"{argument} is {value!r}; allowed: 0 or a number above it.")
        averages = {"ema_momentum": ema_momentum, "ema_overwrite_frequency": ema_overwrite_frequency}
        super().__init__(learning_rate=learning_rate, name=name, use_ema=use_ema, **averages)
        # Not `self.weight_decay` and `self.global_clipnorm`: Keras would apply those as well, in its own way.
        self.momentum, self.l2_coefficient, self.clip_norm = float(momentum), float(weight_decay), float(clip_norm)
        self._excluded = set(excluded)
        self._exclude = []  # variables, by identity
        self._places = {}

    def exclude_from_weight_decay(
        self, var_list: Iterable[keras.Variable] | None = None, var_names: Sequence[str] | None = None
    ):
        """Takes variables out of weight decay, by identity; before or after the optimizer is built.

        Args:
          var_list: Keras variables, for example `norm_variables(model)`.
          var_names: not supported: names need not be unique.

        Raises:
          ValueError: `var_names` is given.
        """
        if var_names is not None:
            raise ValueError(f"var_names is {var_names!r}; allowed: None. Give the variables themselves in var_list.")
        self._exclude += var_list or ()
        if self.built:
            self._find_excluded()

    def build(self, variables: Sequence[keras.Variable]):
        """Creates one velocity a variable, zeros of its shape and dtype."""
        if self.built:
            return
        super().build(variables)
        self.velocities = self.add_optimizer_variables(variables, "velocity")
        self._places = places(variables)
        self._find_excluded()

    def _find_excluded(self):
        self._excluded |= {self._places[id(variable)] for variable in self._exclude if id(variable) in self._places}

    def apply(self, grads: Sequence[tf.Tensor | None], trainable_variables: Sequence[keras.Variable] | None = None):
        """Updates the variables; in a replica context under `tf.distribute`, gradients are summed over replicas.

        Args:
          grads: one gradient a variable, tensors, `tf.IndexedSlices` or None.
          trainable_variables: the variables, in the same order; None for those the optimizer was built with.
        """
        grads = [None if gradient is None else tf.convert_to_tensor(gradient) for gradient in grads]
        super().apply(self._clip(grads) if self.clip_norm else grads, trainable_variables)

    def _clip(self, grads):
        """Clips the sum over replicas, and divides it so that Keras's own sum over replicas gives it back."""
        present = [gradient for gradient in grads if gradient is not None]
        context, replicas = tf.distribute.get_replica_context(), 1
        if context is not None and context.num_replicas_in_sync > 1:
            replicas = context.num_replicas_in_sync
            present = context.all_reduce(tf.distribute.ReduceOp.SUM, present)
        squares = [tf.reduce_sum(tf.square(tf.cast(gradient, tf.float32))) for gradient in present]
        scale = tf.minimum(1.0, self.clip_norm / (tf.sqrt(tf.add_n(squares)) + 1e-6)) / replicas
        clipped = iter([gradient * tf.cast(scale, gradient.dtype) for gradient in present])
        return [None if gradient is None else next(clipped) for gradient in grads]

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable | tf.Variable, learning_rate: tf.Tensor):
        """Applies the summed `gradient` to one variable and its velocity."""
        index = self._places[id(variable)]
        gradient, velocity = tf.cast(gradient, variable.dtype), self.velocities[index]
        if self.l2_coefficient and index not in self._excluded:
            with tf.control_dependencies([gradient]):  # or the product is made when a step starts, and kept to its end
                gradient += self.l2_coefficient * tf.convert_to_tensor(variable)
        tf.raw_ops.ResourceApplyMomentum(  # one pass over the weight and its velocity
            var=variable.handle,
            accum=velocity.value.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=gradient,
            momentum=tf.cast(self.momentum, variable.dtype),
        )

    def get_config(self) -> dict[str, Any]:
        """Keras's configuration.

        Raises:
          ValueError: variables were excluded from weight decay and the optimizer is not built, so that their positions
            are not known.
        """
        if self._exclude and not self.built:
            raise ValueError("TorchSGD has excluded variables and is not built; call build(model.trainable_variables).")
        theirs = super().get_config()
        names = ("learning_rate", "use_ema", "ema_momentum", "ema_overwrite_frequency")
        return {name: theirs[name] for name in names} | {
            "name": self.name,
            "momentum": self.momentum,
            "weight_decay": self.l2_coefficient,
            "clip_norm": self.clip_norm,
            "excluded": sorted(self._excluded),
        }


def places(variables: Sequence[keras.Variable]) -> dict[int, int]:
    """From the id of each variable, and of each of its parts on the replicas, to its position."""
    found, strategy = {}, tf.distribute.get_strategy()
    for position, variable in enumerate(variables):
        parts = (variable, variable.value, *strategy.experimental_local_results(variable.value))
        found |= {id(part): position for part in parts}
    return found


def norm_variables(model: keras.layers.Layer) -> list[keras.Variable]:
    """The trainable parameters (gamma and beta) of every normalisation layer in `model`, however deep.

    Args:
      model: a built `keras.Model` or layer.

    Returns:
      List of Keras variables, each once. Frozen norms have none.
    """
    norms = [layer for _, layer in sublayers(model) if isinstance(layer, NORM_LAYERS)]
    return list({id(variable): variable for norm in norms for variable in norm.trainable_variables}.values())
