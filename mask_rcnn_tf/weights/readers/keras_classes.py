"""The classes that the configuration in a `.keras` file names, looked at before Keras imports or builds any.

Keras builds what a configuration names, anywhere in it. Its safe mode forbids some classes; here a few are allowed:
those registered in this process (`keras.saving.register_keras_serializable`), and Keras's own that hold numbers and
compute with them. Others read files (`StringLookup`), run graphs (`TFSMLayer`) or hold code (`Lambda`).

Source: `keras/src/saving/serialization_lib.py`, `deserialize_keras_object`.
"""

from collections.abc import Iterator
from typing import Any

import keras

from mask_rcnn_tf.weights.errors import CheckpointError

LAYERS = """Activation Add AveragePooling2D BatchNormalization Concatenate Conv2D Conv2DTranspose Dense DepthwiseConv2D
Dropout ELU Flatten GlobalAveragePooling2D GlobalMaxPooling2D GroupNormalization Identity InputLayer LayerNormalization
LeakyReLU MaxPooling2D Multiply PReLU ReLU Rescaling Reshape SeparableConv2D Softmax UpSampling2D ZeroPadding2D"""
CLASSES = {
    "keras": ("DTypePolicy", "Functional", "Sequential"),
    "keras.layers": tuple(LAYERS.split()),
    "keras.src.models.functional": ("Functional",),
    "keras.src.models.sequential": ("Sequential",),
}
MODULES = ("constraints", "initializers", "losses", "metrics", "optimizers", "optimizers.schedules", "regularizers")
NO_MODULE = ("__keras_tensor__",)  # a place in a functional model's graph


def check_classes(config: Any):
    """Refuses a configuration that names anything else.

    Args:
      config: values of JSON, or a part of them.

    Raises:
      CheckpointError: naming the class.
    """
    for named in _named(config):
        module, name, registered = (named.get(key) for key in ("module", "class_name", "registered_name"))
        if not all(value is None or isinstance(value, str) for value in (module, name, registered)):
            raise CheckpointError("its configuration names a class by something else than text")
        if not _is_allowed(module or "", name or "", registered or name or ""):
            raise CheckpointError(
                f"its configuration names {ascii(module)[:80]}, {ascii(name)[:80]}; allowed: classes registered with "
                "keras.saving.register_keras_serializable, and layers, initializers and optimizers of Keras"
            )


def _named(values: Any) -> Iterator[dict]:
    """Every table that names a class, however deep."""
    waiting = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _is_allowed(module: str, name: str, registered: str) -> bool:
    if isinstance(keras.saving.get_registered_object(registered), type):
        return True
    parent, _, part = module.partition(".")
    known = parent == "keras" and part in MODULES and name[:1].isupper()
    return known or name in CLASSES.get(module, ()) or name in NO_MODULE
