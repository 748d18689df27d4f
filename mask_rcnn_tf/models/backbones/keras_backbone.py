"""Any Keras model as a backbone: the outputs of some of its layers, and a feature pyramid over them."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.models.backbones.fpn import FeaturePyramid
from mask_rcnn_tf.models.backbones.levels import level_shapes
from mask_rcnn_tf.models.sublayers import sublayers

PROBE = (256, 320)  # a canvas of the least common multiples of strides


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class KerasBackbone(keras.layers.Layer):
    """A Keras model up to its feature layers; RPN and heads read the pyramid P<n> over them, as `spec` says.

    `config.model.preprocess` must be what the model was trained on. Models that scale pixels themselves (ConvNeXt,
    EfficientNet) take RGB levels as they are: `channel_order="RGB"`, `pixel_scale=1.0`, `mean=(0.0,) * 3`,
    `std=(1.0,) * 3`. `config.model.backbone` is not read, and `frozen_stages` not either: freeze layers of the model.

    Args:
      model: a functional model from [B, H, W, 3] of any size; or the name of one in `keras.applications`, which is
        built without its classifier.
      layers: names of its layers whose outputs are read, finest first, each of twice the stride of that before it.
      weights: of a named model, as `keras.applications` takes them ("imagenet", a path); None for random ones.
      channels: of the pyramid's levels.
      norm: one of `validation.NORMS`, of the pyramid.
      frozen_norms: whether the model's batch norms keep their pretrained statistics, scales and offsets, as the
        references' do; False trains them on the batches of detection, which are small.

    Raises:
      ValueError: there is no such model or layer; the model takes another input; sizes of a layer's outputs are not
        ceil(side / stride), or strides do not double.
    """

    def __init__(
        self,
        model: keras.Model | str,
        layers: Sequence[str],
        *,
        weights: str | None = None,
        channels: int = 256,
        norm: str = "none",
        frozen_norms: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.supports_jit = True
        self._application = model if isinstance(model, str) else None
        self._layer_names, self._norm, self._frozen_norms = tuple(layers), norm, frozen_norms
        source = _application(model, weights) if isinstance(model, str) else model
        self.body = _in_dtype(_up_to(source, self._layer_names), self.dtype_policy)
        levels = _levels(self.body, self._layer_names)
        self.pyramid = FeaturePyramid(levels, channels, norm, name="pyramid", dtype=self.dtype_policy)
        self.spec = self.pyramid.spec

    def build(self, input_shape: tuple):
        """Builds for [n, h, w, 3]."""
        shapes = self.body.compute_output_shape((None, *PROBE, 3))
        self.pyramid.build(dict(zip(self._layer_names, shapes, strict=True)))
        if self._frozen_norms:  # only now: variables that are made later would train all the same (Keras 3)
            for _, layer in sublayers(self.body):
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.trainable = False

    def call(self, image: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """[B, H, W, 3] -> {level of `spec`: [B, h, w, channels]}."""
        features = dict(zip(self._layer_names, self.body(image, training=training), strict=True))
        return self.pyramid(features, training=training)

    def compute_output_shape(self, input_shape: tuple) -> dict[str, tuple]:
        """Shapes of the levels, sizes rounded up."""
        return level_shapes(self.spec, input_shape)

    def get_config(self) -> dict[str, Any]:
        """Keras's configuration; weights are saved with the model."""
        return {
            **super().get_config(),
            "model": self._application or keras.saving.serialize_keras_object(self.body),
            "layers": list(self._layer_names),
            "channels": self.pyramid.channels,
            "norm": self._norm,
            "frozen_norms": self._frozen_norms,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "KerasBackbone":
        """The inverse of `get_config`."""
        config = dict(config)
        if not isinstance(config["model"], str):
            config["model"] = keras.saving.deserialize_keras_object(config["model"])
        return cls(**config)


def _application(name, weights):
    """The model of that name in `keras.applications`, for images of any size."""
    builder = getattr(keras.applications, name, None)
    if not name[:1].isupper() or builder is None:
        known = ", ".join(known for known in dir(keras.applications) if known[:1].isupper())
        raise ValueError(f"model is {name!r}; allowed: a keras.Model, or one of keras.applications: {known}.")
    return builder(include_top=False, weights=weights, input_shape=(None, None, 3))


def _up_to(model, names):
    """The part of a model that its named layers need, with their outputs."""
    if len(model.inputs) != 1 or tuple(model.inputs[0].shape[1:3]) != (None, None):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in model.inputs)
        raise ValueError(f"model takes {shapes}; allowed: one input (None, None, None, 3), images of any size.")
    known = {layer.name: layer for layer in model.layers}
    if not names or any(name not in known for name in names):
        raise ValueError(f"layers are {', '.join(map(repr, names)) or 'none'}; allowed: {_shown(list(known))}.")
    return keras.Model(model.inputs, [known[name].output for name in names], name="body")


def _shown(names, most=12):
    """The names from the end of the model: features stand there."""
    return ("..., " if len(names) > most else "") + ", ".join(map(repr, names[-most:]))


def _in_dtype(model, policy):
    """The model, or a copy of it whose layers compute as `policy` says."""
    if all(layer.dtype_policy.name == policy.name for _, layer in sublayers(model) if layer is not model):
        return model

    def copied(layer):
        return layer.__class__.from_config({**layer.get_config(), "dtype": policy.name})

    other = keras.models.clone_model(model, clone_function=copied, recursive=True)
    for variable, value in zip(other.weights, model.weights, strict=True):
        variable.assign(tf.cast(value, variable.dtype))
    return other


def _levels(body, names):
    """{layer: (stride, channels)}."""
    shapes = body.compute_output_shape((1, *PROBE, 3))
    levels = {name: (PROBE[0] // shape[1], shape[3]) for name, shape in zip(names, shapes, strict=True)}
    strides = [stride for stride, _ in levels.values()]
    exact = all(shape[2] * stride == PROBE[1] for shape, stride in zip(shapes, strides, strict=True))
    if not exact or strides != [strides[0] << i for i in range(len(strides))] or strides[0] & (strides[0] - 1):
        sizes = ", ".join(f"{name}: {shape[1]} x {shape[2]}" for name, shape in zip(names, shapes, strict=True))
        raise ValueError(
            f"layers give {sizes} for an image of {PROBE[0]} x {PROBE[1]}; allowed: its sides by a power of two, and "
            "by twice as much from layer to layer."
        )
    return levels
