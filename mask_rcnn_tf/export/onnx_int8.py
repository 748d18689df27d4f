"""An ONNX model whose networks compute in int8: pairs of QuantizeLinear and DequantizeLinear between its operators.

ONNX Runtime, OpenVINO and TensorRT read the pairs and put kernels of int8 in their place. Weights are int8 with a scale
a channel; the ranges of the activations are those of the images that are given.
"""

import pathlib
import re
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.export.canvas import Canvas
from mask_rcnn_tf.export.runners.onnx import graph_inputs
from mask_rcnn_tf.progress import Progress

# Layers whose outputs are boxes, scores or masks (`predictor_dtype`) stay float32.
PREDICTORS = {"objectness", "deltas", "class_logits", "box_deltas", "masks"}
WEIGHTED = {"Conv", "MatMul"}
BETWEEN = {"Relu", "Add", "Pad", "MaxPool", "Resize"}  # behind these: in int8 too, or values would go there and back
# ONNX Runtime warns unless a model says that its norms are folded and its shapes inferred, as they are here.
PREPARED = {"onnx.quant.pre_process": "onnxruntime.quant"}


def quantize_model(proto: Any, config: ModelConfig, canvas: Canvas | None, images: Sequence[np.ndarray]) -> Any:
    """`quantize` of a model of `to_onnx.convert_model`: about 0 on a canvas, the form that TensorRT reads.

    Args:
      proto: `onnx.ModelProto`.
      config: the model's.
      canvas: (H, W), pixels, or None.
      images: uint8 [h, w, 3] RGB that give the ranges.
    """
    progress = Progress(len(images), "image")

    def inputs():
        for image in images:
            yield graph_inputs(config, canvas, image)
            progress.add()

    return quantize(proto, inputs(), symmetric=canvas is not None)


def quantize(proto: Any, inputs: Iterable[dict[str, np.ndarray]], symmetric: bool) -> Any:
    """The same model with int8 networks; geometry and predictors stay float32.

    Args:
      proto: `onnx.ModelProto` of `to_onnx.convert`.
      inputs: the graph's inputs by name, of each image that gives ranges. A range is from the mean of the least values
        to the mean of the greatest ones, so that one odd image does not make all steps coarse.
      symmetric: whether activations are int8 about 0, which is all that TensorRT takes; or uint8 from any number on,
        which is finer behind a ReLU, and the faster on x86 processors in ONNX Runtime.

    Returns:
      An `onnx.ModelProto`.
    """
    import onnx
    from onnxruntime import quantization

    model = onnx.ModelProto()
    model.CopyFrom(proto)
    onnx.helper.set_model_props(model, PREPARED)
    options = {
        "ActivationSymmetric": symmetric,
        "CalibMovingAverage": True,
        "MatMulConstBOnly": True,
        "OpTypesToExcludeOutputQuantization": ["MatMul"],  # a bias follows, which is float32
    }
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Of the geometry's infinite scores, whose ranges are taken too, and not used.
        warnings.simplefilter("ignore", RuntimeWarning)
        path = pathlib.Path(folder) / "int8.onnx"
        quantization.quantize_static(
            model,
            path,
            _reader(inputs),
            op_types_to_quantize=sorted(WEIGHTED | BETWEEN),
            per_channel=True,
            activation_type=quantization.QuantType.QInt8 if symmetric else quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_quantize=quantized_nodes(proto),
            extra_options=options,
        )
        return onnx.load(path)


def quantized_nodes(proto: Any) -> list[str]:
    """Names of the nodes that are to compute in int8: layers' products with their weights, and what lies between.

    Args:
      proto: `onnx.ModelProto` of `to_onnx.convert`; its nodes, or their weights, have their layers' paths as names.
    """
    weights = {item.name for item in proto.graph.initializer}
    names, made = [], set()
    for node in proto.graph.node:  # each behind those that it reads
        reads = set(node.input)
        if node.op_type in WEIGHTED and node.input[1] in weights:
            # tf2onnx gives a padded convolution with a bias a new name, without the path; its weights keep theirs.
            takes = not _is_predictor(node.name if "/" in node.name else node.input[1])
        else:
            is_bias = node.op_type == "Add" and reads & weights  # of a product, or a convolution would have it
            takes = node.op_type in BETWEEN and bool(reads & made) and not is_bias
        if takes:
            names.append(node.name)
            if node.op_type != "MatMul":
                made.update(node.output)
    return names


def _is_predictor(name):
    """Whether a product is a predictor's, by its layers: rpn_head_1/deltas_1/Conv2D; Keras numbers their calls.

    A head's own product, of no layer in it, is one too.
    """
    layers = [re.sub(r"_\d+$", "", part) for part in name.split("/")[:-1] if part != "einsum"]
    return not layers or layers[-1].endswith("_head") or not PREDICTORS.isdisjoint(layers)


def _reader(inputs):
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        """One image after the other."""

        def __init__(self):
            self.inputs = iter(inputs)

        def get_next(self):
            """The next image's inputs, or None."""
            return next(self.inputs, None)

    return Reader()
