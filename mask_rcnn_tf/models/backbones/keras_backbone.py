"""Any Keras model as a backbone by constructor: levels of it, and a feature pyramid over them."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.models.backbones.fpn import FeaturePyramid
from mask_rcnn_tf.models.backbones.keras_levels import KerasLevels


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class KerasBackbone(KerasLevels):
    """A Keras model up to its feature layers; RPN and heads read the pyramid P<n> over them, as `spec` says.

    `config.model.backbone` is not read, and `config.model.fpn` not either.

    Args:
      model, layers: see `KerasLevels`.
      channels: of the pyramid's levels.
      norm: one of `validation.NORMS`, of the pyramid.
      options: of `KerasLevels`.

    Raises:
      ValueError: see `KerasLevels`.
    """

    def __init__(
        self,
        model: keras.Model | str,
        layers: Sequence[str] = (),
        *,
        channels: int = 256,
        norm: str = "none",
        **options: Any,
    ):
        super().__init__(model, layers, **options)
        self._norm = norm
        self.pyramid = FeaturePyramid(self.spec, channels, norm, name="pyramid", dtype=self.dtype_policy)
        self.spec = self.pyramid.spec

    def build(self, input_shape: tuple):
        """Builds for [n, h, w, 3]."""
        super().build(input_shape)
        self.pyramid.build({name: (None, None, None, channels) for name, (_, channels) in self._levels.items()})

    def call(self, image: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """[B, H, W, 3] -> {level of `spec`: [B, h, w, channels]}."""
        return self.pyramid(self.features(image, training), training=training)

    def get_config(self) -> dict[str, Any]:
        """Keras's configuration; weights are saved with the model."""
        return {**super().get_config(), "channels": self.pyramid.channels, "norm": self._norm}
