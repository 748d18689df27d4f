"""What a Keras model has for a backbone: feature maps of every stride, and the layers that give them."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from mask_rcnn_tf.models.sublayers import sublayers

PROBE = (256, 320)  # a canvas of the least common multiples of strides
FINEST = 4  # stride of the first map that is taken where no layer is named
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
UNNAMED = re.compile(r"[Vv]ariable(_\d+)?")  # a weight
NUMBERED = re.compile(r"^((?:layer_)?normalization)_\d+/")  # names that Keras counts through the process


class Feature(NamedTuple):
    """A feature map of a Keras model.

    Attributes:
      name: of the layer, or operation, whose output it is.
      stride: sides of the image over its sides.
      channels: its last axis.
      output: the symbolic tensor.
    """

    name: str
    stride: int
    channels: int
    output: Any


def application(name: str, weights: str | None = None, policy: keras.DTypePolicy | None = None) -> keras.Model:
    """The model of that name in `keras.applications`, without its classifier, for images of any size.

    Nothing in it has a state but its weights: dropout, which draws from a generator, is off, so that a run that is
    resumed goes on as the uninterrupted one; and EfficientNet's normalisation is made of constants. Keras has it in
    variables that the layer reads once, and a division that is there with "imagenet" alone
    (`keras/src/applications/efficientnet.py`).

    Args:
      name: such as "ConvNeXtTiny".
      weights: None for random ones; "imagenet", which Keras downloads; a path, as `keras.applications` take it.
      policy: of its layers; None for Keras's own.

    Raises:
      ValueError: there is no such model, or its weights do not load.
    """
    builder = getattr(keras.applications, name, None)
    if not name[:1].isupper() or builder is None:
        known = ", ".join(known for known in dir(keras.applications) if known[:1].isupper())
        raise ValueError(f"model is {name!r}; allowed: a keras.Model, or one of keras.applications: {known}.")
    options = {"include_top": False, "input_shape": (None, None, 3)}
    with _policy(policy):
        model = builder(weights=None, **options)
        for layer in model.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0
        if any(isinstance(layer, keras.layers.Normalization) and layer.weights for layer in model.layers):
            model = keras.models.clone_model(model, clone_function=_constant)
    if weights is not None:
        try:
            source = builder(weights=weights, **options)
        except Exception as error:  # Keras raises bare Exceptions when it cannot download
            reason = " ".join(str(error).split())
            raise ValueError(f"weights are {weights!r}; Keras could not load them for {name}: {reason}") from error
        theirs = named_variables(source)
        for path, variable in named_variables(model).items():
            variable.assign(theirs[path])
    return model


@contextlib.contextmanager
def _policy(policy: keras.DTypePolicy | None) -> Iterator[None]:
    """Layers that are made inside compute as `policy` says: Keras's builders take none."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy or before)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _constant(layer):
    """The layer itself, or ImageNet's normalisation of levels from 0 to 1 in the place of one that has variables."""
    if not (isinstance(layer, keras.layers.Normalization) and layer.weights):
        return layer
    variance = tuple(std**2 for std in IMAGENET_STD)
    return keras.layers.Normalization(mean=IMAGENET_MEAN, variance=variance, name="imagenet_normalization")


def named_variables(model: keras.Model) -> dict[str, keras.Variable]:
    """The variables of a model by layer and weight, "conv1_conv/kernel", as Keras's files of weights have them."""
    leaves = [layer for _, layer in sublayers(model) if not isinstance(layer, keras.Model)]
    named = {}
    for layer in leaves:
        for weight in layer.weights:
            named[stable_name(f"{layer.name}/{weight.name}")] = weight
    return named


def stable_name(name: str) -> str:
    """A name "layer/weight" without numbers that Keras counts through the process; a LayerScale's weight is gamma."""
    layer, _, weight = NUMBERED.sub(r"\1/", name).rpartition("/")
    return f"{layer}/{'gamma' if UNNAMED.fullmatch(weight) else weight}"


def in_dtype(model: keras.Model, policy: keras.DTypePolicy) -> keras.Model:
    """The model, or a copy of it with the same weights whose layers compute as `policy` says."""
    if all(layer.dtype_policy.name == policy.name for _, layer in sublayers(model) if layer is not model):
        return model

    def copied(layer):
        changes = {"dtype": policy.name} if isinstance(layer, keras.layers.Layer) else {}  # or an operation, as a sum
        return layer.__class__.from_config({**layer.get_config(), **changes})

    other = keras.models.clone_model(model, clone_function=copied, recursive=True)
    for variable, value in zip(other.weights, model.weights, strict=True):
        variable.assign(tf.cast(value, variable.dtype))
    return other


def named_features(model: keras.Model, names: Sequence[str]) -> tuple[Any, list[Feature]]:
    """The outputs of some layers.

    Args:
      model: a functional model.
      names: of layers or operations, finest first, each of twice the stride of that before it.

    Returns:
      The input that they are computed from, and the features.

    Raises:
      ValueError: the model takes another input, there is no such layer, or the sizes of an output are not
        ceil(side / stride) or do not halve.
    """
    image, calls = _calls(model)
    known = {call.operation.name: call for call in calls}
    if any(name not in known for name in names):
        listed = _shown([layer.name for layer in model.layers])
        raise ValueError(f"layers are {', '.join(map(repr, names))}; allowed: {listed}.")
    shapes = [known[name].shape for name in names]
    strides = [_stride(shape) for shape in shapes]
    if None in strides or strides != [strides[0] << i for i in range(len(strides))]:
        sizes = (f"{name}: {' x '.join(map(str, shape[1:3]))}" for name, shape in zip(names, shapes, strict=True))
        raise ValueError(
            f"layers give {', '.join(sizes)} for an image of {PROBE[0]} x {PROBE[1]}; allowed: its sides by a power of "
            "two, and by twice as much from layer to layer."
        )
    return image, [_feature(known[name]) for name in names]


def last_features(model: keras.Model) -> tuple[Any, list[Feature]]:
    """The last map of every stride from `FINEST` on, among those that all that follows is computed from.

    In a network of stages these are the ends of the stages: a map beside which another path leads on, such as a
    residual one, is none.

    Args:
      model: a functional model.

    Returns:
      As `named_features`.

    Raises:
      ValueError: the model takes another input, or its maps have no sides of ceil(side / stride).
    """
    image, calls = _calls(model)
    made = {id(call.output): i for i, call in enumerate(calls)}
    read_last = {made.get(read, -1): i for i, call in enumerate(calls) for read in call.reads}
    found, reach = {}, -1
    for i, call in enumerate(calls):
        stride = _stride(call.shape) if reach <= i else None
        if stride is not None and stride >= FINEST:
            found[stride] = _feature(call)
        reach = max(reach, read_last.get(i, -1))
    if not found or list(found) != [min(found) << i for i in range(len(found))]:
        strides = ", ".join(map(str, found)) or "none"
        raise ValueError(
            f"model {model.name!r} has stages of strides {strides}; allowed: powers of two, each twice that before it."
        )
    return image, list(found.values())


class _Call(NamedTuple):
    operation: Any  # a layer, or what stands between layers, such as a sum
    reads: list[int]  # ids of its symbolic inputs
    output: Any
    shape: tuple  # of the output, for an image of PROBE


def _feature(call):
    return Feature(call.operation.name, _stride(call.shape), call.shape[3], call.output)


def _calls(model):
    """A new input, and every operation of a model on it that gives a tensor, in order; the layers are the model's."""
    if len(model.inputs) != 1 or tuple(model.inputs[0].shape[1:3]) != (None, None):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in model.inputs)
        raise ValueError(f"model takes {shapes}; allowed: one input (None, None, None, 3), images of any size.")
    called = []

    def call(operation, *args, **kwargs):
        output = operation(*args, **kwargs)
        tensors = keras.tree.flatten((args, kwargs))
        if isinstance(output, keras.KerasTensor):
            called.append((operation, [id(item) for item in tensors if isinstance(item, keras.KerasTensor)], output))
        return output

    image = keras.Input((None, None, 3))
    keras.models.clone_model(model, image, clone_function=lambda layer: layer, call_function=call)
    try:
        shapes = keras.Model(image, [output for *_, output in called]).compute_output_shape((1, *PROBE, 3))
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"model {model.name!r} takes no image of {PROBE[0]} x {PROBE[1]}: {reason}") from error
    return image, [_Call(*row, shape) for row, shape in zip(called, shapes, strict=True)]


def _stride(shape):
    """The power of two by which a shape [B, h, w, c] is smaller than `PROBE`; None if there is none."""
    if len(shape) != 4 or not shape[1] or PROBE[0] % shape[1]:
        return None
    stride = PROBE[0] // shape[1]
    return stride if shape[2] * stride == PROBE[1] and not stride & (stride - 1) else None


def _shown(names, most=12):
    """The names from the end of the model: features stand there."""
    return ("..., " if len(names) > most else "") + ", ".join(map(repr, names[-most:]))
