"""Any Keras model as a backbone: the outputs of some of its layers as levels C<n>, of stride 2^n."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.models.backbones.keras_models import application, in_dtype, last_features, named_features
from mask_rcnn_tf.models.backbones.levels import level_shapes
from mask_rcnn_tf.models.sublayers import sublayers


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class KerasLevels(keras.layers.Layer):
    """A Keras model up to the last of its feature layers.

    `config.model.preprocess` must be what the model was trained on.

    Args:
      model: a functional model from [B, H, W, 3] of any size; or the name of one in `keras.applications`, which is
        built without its classifier.
      layers: names of its layers whose outputs are read, finest first, each of twice the stride of that before it; ()
        for the last of each stride from 4 on, see `last_features`.
      levels: names C<n> of those that are given, finest first; () for all.
      weights: of a named model, see `application`.
      frozen_norms: whether the model's batch norms keep their pretrained statistics, scales and offsets, as the
        references' do; False trains them on the batches of detection, which are small.
      frozen_stages: all that C<frozen_stages> is computed from does not train; 0: all trains.

    Raises:
      ValueError: there is no such model, layer or level; the model takes another input; sizes of a layer's outputs are
        not ceil(side / stride), or strides do not double.
    """

    def __init__(
        self,
        model: keras.Model | str,
        layers: Sequence[str] = (),
        *,
        levels: Sequence[str] = (),
        weights: str | None = None,
        frozen_norms: bool = True,
        frozen_stages: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.supports_jit = True
        self._application = model if isinstance(model, str) else None
        self._frozen_norms, self.frozen_stages = frozen_norms, frozen_stages
        source = application(model, weights, self.dtype_policy) if isinstance(model, str) else model
        image, found = named_features(source, layers) if layers else last_features(source)
        features = {f"C{feature.stride.bit_length() - 1}": feature for feature in found}
        if unknown := [name for name in levels if name not in features]:
            there = ", ".join(f"{name} ({feature.name})" for name, feature in features.items())
            raise ValueError(f"levels are {', '.join(levels)}; {source.name} has no {', '.join(unknown)}, but {there}.")
        features = {name: feature for name, feature in features.items() if not levels or name in levels}
        # Numbers in the names of a named model depend on what was made before it.
        self._layer_names = tuple(layers) if self._application else tuple(item.name for item in features.values())
        body = keras.Model(image, [feature.output for feature in features.values()], name="body")
        self.body = body if self._application else in_dtype(body, self.dtype_policy)
        self._levels = {name: (feature.stride, feature.channels) for name, feature in features.items()}
        self.spec = self._levels

    def build(self, input_shape: tuple):
        """Builds for [n, h, w, 3]."""
        frozen = f"C{self.frozen_stages}"
        # Only now: variables that are made later would train all the same (Keras 3).
        if frozen in self._levels:
            output = keras.tree.flatten(self.body.output)[list(self._levels).index(frozen)]
            for layer in keras.Model(self.body.inputs, output).layers:
                layer.trainable = False
        for _, layer in sublayers(self.body) if self._frozen_norms else ():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False

    def features(self, image: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """[B, H, W, 3] -> {C<n>: [B, H / 2^n, W / 2^n, c]}, sizes rounded up."""
        outputs = self.body(image, training=training)
        return dict(zip(self._levels, outputs if len(self._levels) > 1 else [outputs], strict=True))

    def call(self, image: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """[B, H, W, 3] -> {level of `spec`: [B, h, w, c]}."""
        return self.features(image, training)

    def compute_output_shape(self, input_shape: tuple) -> dict[str, tuple]:
        """Shapes of the levels, sizes rounded up."""
        return level_shapes(self.spec, input_shape)

    def get_config(self) -> dict[str, Any]:
        """Keras's configuration; weights are saved with the model."""
        return {
            **super().get_config(),
            "model": self._application or keras.saving.serialize_keras_object(self.body),
            "layers": list(self._layer_names),
            "levels": list(self._levels),
            "frozen_norms": self._frozen_norms,
            "frozen_stages": self.frozen_stages,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "KerasLevels":
        """The inverse of `get_config`."""
        config = dict(config)
        if not isinstance(config["model"], str):
            config["model"] = keras.saving.deserialize_keras_object(config["model"])
        return cls(**config)
