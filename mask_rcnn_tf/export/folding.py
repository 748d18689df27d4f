"""A copy of a model for inference: batch norms folded into convolutions, weights in the asked float type."""

import copy

import tensorflow as tf

from mask_rcnn_tf.arguments import check_kind
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.models.conv_norm import ConvNorm
from mask_rcnn_tf.models.dtypes import resolve_dtype
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.models.norms import scale_and_shift
from mask_rcnn_tf.models.sublayers import sublayers
from mask_rcnn_tf.models.variable_paths import stable_paths

# (box, class) pairs of an image that enter the NMS of constant shapes: all, up to this number. Presets that train with
# fewer lose faint detections of crowded images, which the native NMS finds.
CANDIDATES = 2000
BATCH_NORMS = ("batch_norm", "sync_batch_norm", "frozen_batch_norm")


def fold(model: MaskRCNN, dtype: str = "float32", kernels: str = "native") -> MaskRCNN:
    """Copies a model with every batch norm multiplied into the convolution before it.

    Args:
      model: any `MaskRCNN`; it stays as it is.
      dtype: "float32", or "bfloat16" for weights and layers in bfloat16 (geometry stays float32).
      kernels: of the copy, a set of `ops.kernels`.

    Returns:
      A `MaskRCNN` with the same detections in float32, whose configuration says norm "none" where there was a batch
      norm, and has room for `CANDIDATES` in its NMS.

    Raises:
      ExportError: the model is no `MaskRCNN`, or has no RPN.
    """
    check_kind("model", model, MaskRCNN, "a MaskRCNN", ExportError)
    if model.rpn_head is None:
        raise ExportError("model has no RPN (config.model.rpn.enabled is False); allowed: one that proposes boxes.")
    config = copy.deepcopy(model.config)
    config.dtype, config.kernels = dtype, kernels
    pairs = config.rpn.post_nms_top_n_test * config.num_classes
    config.detection.max_candidates = max(config.detection.max_candidates, min(pairs, CANDIDATES))
    kept = config.backbone if config.backbone.keras_application else None  # its norms are Keras's own layers
    for section in vars(config).values():
        if getattr(section, "norm", None) in BATCH_NORMS and section is not kept:
            section.norm = "none"
    folded = model.copied(config)
    own = {id(variable) for part in folded.own_parts() for variable in part.weights}
    values = _folded_values(model)
    for variable, path in zip(folded.weights, stable_paths(folded.weights), strict=True):
        if id(variable) not in own:
            variable.assign(tf.cast(values.pop(path), variable.dtype))
    if values:
        raise ExportError(f"these weights have no place in the exported model: {', '.join(sorted(values))}.")
    return folded


def in_float32(model: MaskRCNN) -> MaskRCNN:
    """The model itself where it computes in float32, else a copy that does, with the same weights and kernels."""
    if resolve_dtype(model.config.dtype) == "float32":
        return model
    config = copy.deepcopy(model.config)
    config.dtype = "float32"
    copied = model.copied(config)
    copied.set_weights([tf.cast(variable, tf.float32).numpy() for variable in model.weights])
    return copied


def _folded_values(model):
    """{path: float32 value} of the variables of the folded model's parts that are of the configuration.

    A part that is not keeps its norms, which its convolutions fold when they are called.
    """
    own = {id(part) for part in model.own_parts()}
    parts = [part for part in model.stages.layers if id(part) not in own]
    paths = {id(item): path for item, path in zip(model.weights, stable_paths(model.weights), strict=True)}
    values = {paths[id(item)]: tf.convert_to_tensor(item.value) for part in parts for item in part.weights}
    for layer in (layer for part in parts for _, layer in sublayers(part)):
        if isinstance(layer, ConvNorm) and layer.norm_name in BATCH_NORMS:
            scale, shift = scale_and_shift(layer.norm)
            for variable in layer.norm.weights:
                del values[paths[id(variable)]]
            kernel = paths[id(layer.kernel)]
            values[kernel] = tf.convert_to_tensor(layer.kernel) * scale
            values[kernel.removesuffix("kernel") + "bias"] = shift
    return values
