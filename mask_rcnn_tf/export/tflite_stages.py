"""A model cut into the networks, which a phone's accelerator or int8 speeds up, and the geometry that joins them.

networks    `steps.networks`: image -> features, RPN logits and deltas; and each head's, from pooled features.
geometry    everything else: boxes, NMS, RoIAlign, scores. It has the networks' outputs as inputs and their inputs as
            outputs, so that it is one graph; `tflite_merge` puts the networks between.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.export import signatures
from mask_rcnn_tf.export.canvas import Canvas, image_dtype, place_on_canvas
from mask_rcnn_tf.models.inference import anchors_of
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.models.steps import Step, Tensors, networks, with_networks


def whole_graph(model: MaskRCNN, canvas: Canvas) -> Any:
    """The concrete function of `signatures.detect_canvas`."""
    return concrete(lambda inputs: signatures.detect_canvas(model, **inputs), input_specs(model, canvas))


def input_specs(model: MaskRCNN, canvas: Canvas) -> Tensors:
    """Inputs of the whole graph: image [1, H, W, 3], image_shape and original_shape int32 [1, 2]."""
    shapes = {name: tf.TensorSpec([1, 2], tf.int32, name) for name in ("image_shape", "original_shape")}
    shape = [1, *canvas, model.config.preprocess.channels]
    return {"image": tf.TensorSpec(shape, image_dtype(model.config), "image"), **shapes}


def network_graphs(model: MaskRCNN, canvas: Canvas, delegated: bool) -> dict[str, Any]:
    """{name: concrete function} of the networks (`steps.networks`), or of their forms without gathers."""
    found, specs = networks(model.steps(), delegated), {}

    def traced(inputs):
        tensors = _trace(model, model.steps(), inputs)
        for name in {name for network in found.values() for name in network.inputs}:
            specs[name] = tf.TensorSpec(tensors[name].shape, tensors[name].dtype, name)
        return {name: tensors[name] for name in specs}

    concrete(traced, input_specs(model, canvas))
    return {name: concrete(network.run, {key: specs[key] for key in network.inputs}) for name, network in found.items()}


def geometry_graph(model: MaskRCNN, canvas: Canvas, graphs: dict[str, Any]) -> Any:
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

    def geometry(inputs):
        asked = {}

        def asking(name):
            def ask(needed):
                asked.update(needed)
                return {key: inputs[key] for key in outputs[name]}

            return ask

        steps = with_networks(model.steps(), {name: asking(name) for name in graphs})
        whole = {key: inputs[key] for key in input_specs(model, canvas)}
        return {**signatures.detect_canvas(model, **whole, steps=steps), **asked}

    return concrete(geometry, {**input_specs(model, canvas), **specs})


def concrete(function: Callable[[Tensors], Tensors], specs: Tensors) -> Any:
    """Traces a function from a dict to a dict; its inputs and outputs keep their names."""
    return tf.function(lambda **inputs: function(inputs), autograph=False).get_concrete_function(**specs)


def network_inputs(model: MaskRCNN, canvas: Canvas, images: list[np.ndarray], graph: Any) -> Iterator[Tensors]:
    """What one of the `networks` is given on each image, for calibration.

    Args:
      model: `MaskRCNN`.
      canvas: (H, W).
      images: uint8 [h, w, 3] RGB.
      graph: of `network_graphs`.
    """
    names = list(graph.structured_input_signature[1])

    def inputs_of_network(inputs):
        tensors = _trace(model, model.steps(), inputs)
        return {name: tensors[name] for name in names}

    run = concrete(inputs_of_network, input_specs(model, canvas))
    for image in images:
        yield {name: value.numpy() for name, value in run(**canvas_inputs(model.config, canvas, image)).items()}


def _trace(model, steps, inputs):
    """Every tensor between the inputs of the whole graph and its outputs."""
    seen = {}
    watching = [Step("watch", lambda tensors: seen.update(tensors) or {})]
    signatures.detect_canvas(model, **inputs, steps=[*steps, *watching])
    return seen


def canvas_inputs(config: ModelConfig, canvas: Canvas, image: np.ndarray) -> Tensors:
    """The inputs of the whole graph for an image, uint8 [h, w, 3] RGB."""
    placed, shape = place_on_canvas(config, image, canvas)
    values = {"image": placed, "image_shape": shape, "original_shape": np.array(image.shape[:2], np.int32)}
    return {name: tf.constant(value[None]) for name, value in values.items()}


def anchors(model: MaskRCNN, canvas: Canvas) -> np.ndarray:
    """float32 [N, 4], pixels of the canvas, in the order of the levels of the RPN."""
    return tf.concat(anchors_of(model.config, model.stages, tf.zeros([1, *canvas, 1])), 0).numpy()
