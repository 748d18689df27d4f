"""A model cut into the networks, which a phone's accelerator or int8 speeds up, and the geometry that joins them.

network     image -> pyramid features, RPN logits and deltas
box_head    pooled features of the proposals -> class logits and box deltas
mask_head   pooled features of the detections -> mask logits
geometry    everything else: boxes, NMS, RoIAlign, scores. It has the networks' outputs as inputs and their inputs as
            outputs, so that it is one graph; `tflite_merge` puts the networks between.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.export import signatures
from mask_rcnn_tf.export.canvas import Canvas, image_dtype, place_on_canvas
from mask_rcnn_tf.models.mask_rcnn import ROI_LEVELS, MaskRCNN
from mask_rcnn_tf.models.rpn import LEVELS, pyramid_anchors

Tensors = dict[str, Any]  # by name: tf.Tensor, np.ndarray or tf.TensorSpec
Network = Callable[[Tensors], Tensors]


def networks(model: MaskRCNN) -> dict[str, Network]:
    """{"network", "box_head" and, where the model has one, "mask_head"}: functions from tensors to tensors, by name.

    Inputs and outputs, float32 but for the classes:
      network    normalized [B, H, W, 3] (as `MaskRCNN.extract_features` takes it) -> P2..P5 [B, h, w, c], and for each
                 level P2..P6 objectness_* [B, h * w * A] and deltas_* [B, h * w * A, 4], in (row, column, anchor) order
      box_head   box_pooled [n, side, side, c] -> class_logits [n, C + 1], background first; box_deltas [n, C, 4]
      mask_head  mask_pooled [n, side, side, c], mask_classes int32 [n] -> mask_logits [n, M, M]
    """

    def network(inputs):
        features = model.extract_features(inputs["normalized"])
        outputs = {name: features[name] for name in ROI_LEVELS}
        for name in LEVELS:
            outputs[f"objectness_{name}"], outputs[f"deltas_{name}"] = model.rpn_head(features[name])
        return outputs

    def box_head(inputs):
        class_logits, box_deltas = model.box_head(inputs["box_pooled"])
        return {"class_logits": class_logits, "box_deltas": box_deltas}

    def mask_head(inputs):
        return {"mask_logits": model.mask_head(inputs["mask_pooled"], inputs["mask_classes"])}

    found = {"network": network, "box_head": box_head, "mask_head": mask_head}
    return found if model.mask_head is not None else {name: found[name] for name in ("network", "box_head")}


def delegated_networks(model: MaskRCNN) -> dict[str, Network]:
    """`networks` without a gather, which delegates do not take: mask_logits [n, M, M, C] are those of every class."""

    def mask_head(inputs):
        return {"mask_logits": model.mask_head.all_logits(inputs["mask_pooled"])}

    found = networks(model)
    return found | ({"mask_head": mask_head} if "mask_head" in found else {})


def with_networks(model: MaskRCNN, given: dict[str, Network]) -> MaskRCNN:
    """The model with other functions in the place of its `networks`."""
    outputs = {}
    levels = itertools.cycle(LEVELS)  # the order in which `MaskRCNN.propose` runs the RPN head

    def backbone(image, training):
        outputs.update(given["network"]({"normalized": image}))

    def pyramid(_, training):
        # P6 is read for its size alone, as the RPN's outputs are there.
        return {**{name: outputs[name] for name in ROI_LEVELS}, "P6": outputs["P5"][:, ::2, ::2]}

    def rpn_head(_):
        name = next(levels)
        return outputs[f"objectness_{name}"], outputs[f"deltas_{name}"]

    def box_head(pooled, training, valid):
        found = given["box_head"]({"box_pooled": pooled})
        return found["class_logits"], found["box_deltas"]

    def mask_head(pooled, classes, valid):
        return given["mask_head"]({"mask_pooled": pooled, "mask_classes": classes})["mask_logits"]

    stages = {"backbone": backbone, "pyramid": pyramid, "rpn_head": rpn_head, "box_head": box_head}
    return MaskRCNN(model.config, stages | ({"mask_head": mask_head} if "mask_head" in given else {}))


def input_specs(model: MaskRCNN, canvas: Canvas) -> Tensors:
    """Inputs of the whole graph: image [1, H, W, 3], image_shape and original_shape int32 [1, 2]."""
    shapes = {name: tf.TensorSpec([1, 2], tf.int32, name) for name in ("image_shape", "original_shape")}
    return {"image": tf.TensorSpec([1, *canvas, 3], image_dtype(model.config), "image"), **shapes}


def network_specs(model: MaskRCNN, canvas: Canvas) -> dict[str, Tensors]:
    """The inputs of each of the `networks`, found by tracing the whole model."""
    specs = {}

    def spying(name, function):
        def spy(inputs):
            specs[name] = {key: tf.TensorSpec(value.shape, value.dtype, key) for key, value in inputs.items()}
            return function(inputs)

        return spy

    spied = with_networks(model, {name: spying(name, function) for name, function in networks(model).items()})
    whole_graph(spied, canvas)
    return specs


def whole_graph(model: MaskRCNN, canvas: Canvas):
    """The concrete function of `signatures.detect_canvas`."""
    return concrete(lambda inputs: signatures.detect_canvas(model, **inputs), input_specs(model, canvas))


def network_graphs(model: MaskRCNN, canvas: Canvas, delegated: bool) -> dict:
    """{name: concrete function} of the `networks`, or of the `delegated_networks`."""
    specs = network_specs(model, canvas)
    if delegated:
        specs.get("mask_head", {}).pop("mask_classes", None)
    functions = delegated_networks(model) if delegated else networks(model)
    return {name: concrete(function, specs[name]) for name, function in functions.items()}


def geometry_graph(model: MaskRCNN, canvas: Canvas, graphs: dict):
    """The concrete function of the geometry.

    Args:
      model: `MaskRCNN`.
      canvas: (H, W).
      graphs: of `network_graphs`.
    """
    outputs = {name: graph.structured_outputs for name, graph in graphs.items()}
    specs = {
        key: tf.TensorSpec(value.shape, value.dtype, key) for found in outputs.values() for key, value in found.items()
    }

    given, asked = {}, {}

    def asking(name):
        def ask(needed):
            asked.update(needed)
            return {key: given[key] for key in outputs[name]}

        return ask

    joined = with_networks(model, {name: asking(name) for name in graphs})

    def geometry(inputs):
        given.update(inputs)
        whole = {key: inputs[key] for key in input_specs(model, canvas)}
        return {**signatures.detect_canvas(joined, **whole), **asked}

    return concrete(geometry, {**input_specs(model, canvas), **specs})


def concrete(function: Network, specs: Tensors):
    """Traces a function from a dict to a dict; its inputs and outputs keep their names."""
    return tf.function(lambda **inputs: function(inputs), autograph=False).get_concrete_function(**specs)


def network_inputs(model: MaskRCNN, canvas: Canvas, images: list[np.ndarray], graph) -> Iterator[Tensors]:
    """What one of the `networks` is given on each image, for calibration.

    Args:
      model: `MaskRCNN`.
      canvas: (H, W).
      images: uint8 [h, w, 3] RGB.
      graph: of `network_graphs`.
    """
    seen = {}

    def watching(function):
        def watched(inputs):
            seen.update(inputs)
            return function(inputs)

        return watched

    watched = with_networks(model, {name: watching(function) for name, function in networks(model).items()})

    def inputs_of_network(inputs):
        signatures.detect_canvas(watched, **inputs)
        return {name: seen[name] for name in graph.structured_input_signature[1]}

    run = concrete(inputs_of_network, input_specs(model, canvas))
    for image in images:
        yield {name: value.numpy() for name, value in run(**canvas_inputs(model.config, canvas, image)).items()}


def canvas_inputs(config: ModelConfig, canvas: Canvas, image: np.ndarray) -> Tensors:
    """The inputs of the whole graph for an image, uint8 [h, w, 3] RGB."""
    placed, shape = place_on_canvas(config, image, canvas)
    values = {"image": placed, "image_shape": shape, "original_shape": np.array(image.shape[:2], np.int32)}
    return {name: tf.constant(value[None]) for name, value in values.items()}


def anchors(model: MaskRCNN, canvas: Canvas) -> np.ndarray:
    """float32 [N, 4], pixels of the canvas, in the order of objectness_P2 .. objectness_P6."""
    config = model.config.anchors
    levels = {name: tf.zeros([1, *(-(-side // 2 ** int(name[1])) for side in canvas), 1]) for name in LEVELS}
    found = pyramid_anchors(levels, canvas, config.sizes, config.ratios, config.rounded, config.stride_rule)
    return tf.concat(found, 0).numpy()
