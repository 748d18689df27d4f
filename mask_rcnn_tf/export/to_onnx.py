"""ONNX files for ONNX Runtime, and on a canvas for TensorRT and OpenVINO; float32, or int8 networks."""

import contextlib
import importlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.config import to_dict
from mask_rcnn_tf.export import onnx_int8, signatures
from mask_rcnn_tf.export.agreement import least_agreement
from mask_rcnn_tf.export.canvas import Canvas, check_canvas, image_dtype
from mask_rcnn_tf.export.check_images import calibration_images, images_to_compare
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.folding import fold
from mask_rcnn_tf.export.labels import label_map
from mask_rcnn_tf.export.output import written_whole
from mask_rcnn_tf.export.verification import verify
from mask_rcnn_tf.models.backbones.fpn import upsample_by_resize
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN

OPSET = 16  # the first whose RoiAlign can shift by half a pixel
# tf2onnx writes SelectV2 as products with 0 and 1, which make NaN of the scores -inf that say "nothing", and compares
# whole numbers as float32.
DIRECT = {
    "SelectV2": "Where",
    "Less": "Less",
    "LessEqual": "LessOrEqual",
    "Greater": "Greater",
    "GreaterEqual": "GreaterOrEqual",
}
QUICK = {"TF2ONNX_CATCH_ERRORS": "FALSE"}  # or each of its optimisations copies every weight first
DOC = (
    "Mask R-CNN, written by mask_rcnn_tf. Boxes are [y1, x1, y2, x2] in pixels of the original image, masks are "
    "probabilities in the frame of their box, keypoints are (x, y, score); rows from num_detections on are 0. "
    "Metadata, as JSON: config, labels, canvas."
)


def onnx(
    model: MaskRCNN,
    path: str | os.PathLike,
    images: list[np.ndarray] | None = None,
    canvas: Canvas | None = None,
    *,
    quantization: str = "none",
    calibration: list[np.ndarray] | None = None,
):
    """Writes a model as an ONNX file, once ONNX Runtime was seen to find in it the same as the model.

    Without a canvas the input is `images` uint8 [B, h, w, 3], of any batch and size, and preprocessing is in the graph.
    With one the inputs are `image` [B, H, W, 3] (`canvas.image_dtype`), `image_shape` and `original_shape` int32 [B, 2]
    (`canvas.place_on_canvas`); the shapes in the graph are constant but for the batch, there is no float64 and no loop:
    the form for TensorRT. Outputs as in `signatures`. Batch norms are folded; `metadata_props` holds `config`, `labels`
    (category id to name) and `canvas`, as JSON.

    Args:
      model: `MaskRCNN` with class names.
      path: file that is to be.
      images: uint8 [h, w, 3], RGB, to compare detections on; None: drawn scenes.
      canvas: (H, W), pixels, or None.
      quantization: "none" (float32), or "int8" (weights and activations of backbone, pyramid and heads; predictors,
        boxes, NMS, RoIAlign and scores stay float32), see `onnx_int8`.
      calibration: uint8 [h, w, 3], RGB, whose activations give the ranges of "int8", some tens of images like those
        that will come; None: `images`.

    Raises:
      ExportError: an argument is wrong, a package is missing, `path` exists or cannot be written, or the ONNX model
        finds something else.
    """
    least = least_agreement(quantization, ("none", "int8"))
    _require("onnx", "tf2onnx", "onnxruntime")
    if canvas is not None:
        canvas = check_canvas(model.config, canvas)
    metadata = {"config": to_dict(model.config), "labels": label_map(model.config), "canvas": canvas}
    images = images_to_compare(model.config, images)
    calibration = calibration_images(model.config, calibration, images)
    with written_whole(path, ".onnx") as place:
        proto = convert_model(model, canvas)
        if quantization == "int8":
            proto = onnx_int8.quantize_model(proto, model.config, canvas, calibration)
        _write(proto, metadata, place)
        verify(place, model, images, least)


def _require(*packages):
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ExportError(
                f"package {package} cannot be imported ({error}); allowed: `pip install mask_rcnn_tf[export]`."
            ) from None


def convert_model(model: MaskRCNN, canvas: Canvas | None) -> Any:
    """The `onnx.ModelProto` of a model, in float32, its batch norms folded; see `onnx`."""
    folded = fold(model, kernels="onnx" if canvas is None else "tensorrt")
    if folded.pyramid is not None:
        folded.pyramid.upsample = upsample_by_resize
    for head in folded.roi_heads:
        head.put_channels_first()
    if canvas is None:
        names = {"images": ("batch", "height", "width")}
        kind = folded.config.preprocess.pixels
        specs = [tf.TensorSpec([None, None, None, kind.channels], kind.dtype, "images")]

        def detect(images):
            return signatures.detect_images(folded, images)

    else:
        names = {}
        specs = [tf.TensorSpec([None, *canvas, folded.config.preprocess.channels], image_dtype(folded.config), "image")]
        specs += [tf.TensorSpec([None, 2], tf.int32, name) for name in ("image_shape", "original_shape")]

        def detect(image, image_shape, original_shape):
            return signatures.detect_canvas(folded, image, image_shape, original_shape)

    proto = convert(tf.function(detect, autograph=False), specs)
    for value in (*proto.graph.input, *proto.graph.output):
        for dim, name in zip(value.type.tensor_type.shape.dim, names.get(value.name, ("batch",)), strict=False):
            dim.dim_param = name  # tf2onnx numbers them
    return proto


def convert(function: Callable[..., Any], specs: list[tf.TensorSpec]) -> Any:
    """Converts a function that may hold `ops.onnx_operators`.

    Args:
      function: a `tf.function`, from tensors to a dict of tensors or one tensor.
      specs: of its arguments, with names.

    Returns:
      An `onnx.ModelProto` of opset `OPSET`.

    Raises:
      ExportError: there is an operation that ONNX has not.
    """
    import onnx as onnx_package
    import tf2onnx

    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what it logs ends in the error below
    handlers = {"PyFuncStateless": (_replace_place, []), "Erfc": (_write_erfc, [])} | dict.fromkeys(
        DIRECT, (_rename, [])
    )
    try:
        with mock.patch.dict(os.environ, QUICK), _written_once(tf2onnx.graph.Graph):
            proto, _ = tf2onnx.convert.from_function(function, specs, opset=OPSET, custom_op_handlers=handlers)
    finally:
        logger.setLevel(level)
    _drop_empty_unsqueezes(proto.graph)
    try:
        onnx_package.checker.check_model(proto, full_check=True)
    except (onnx_package.checker.ValidationError, onnx_package.shape_inference.InferenceError) as error:
        raise ExportError(f"the model has an operation that was not converted to ONNX: {error}") from None
    return proto


@contextlib.contextmanager
def _written_once(graph: type) -> Iterator[None]:
    """Has tf2onnx write its graph, with all weights, when it is done, not after each of its optimisations too.

    Those read and change its own nodes, not what is written; and of what is written anew protobuf gives no memory back:
    a ResNet-50 took 8.5 GB, and 4.5 without (tf2onnx 1.17, measured). `make_graph` alone passes an argument.
    """
    write = graph.update_proto

    def update_proto(self, *given):
        return write(self, *given) if given else None

    with mock.patch.object(graph, "update_proto", update_proto):
        yield


def _drop_empty_unsqueezes(graph):
    """tf2onnx writes an einsum with Unsqueezes of no axes: nothing, which OpenVINO takes for a tensor of any rank."""
    constants = {item.name: item for item in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Unsqueeze"]:
        axes = constants.get(node.input[1])
        if axes is None or list(axes.dims) != [0]:
            continue
        graph.node.remove(node)
        readers = [(other, i) for other in graph.node for i, name in enumerate(other.input) if name == node.output[0]]
        for other, i in readers:
            other.input[i] = node.input[0]
        if not any(axes.name in other.input for other in graph.node):
            graph.initializer.remove(axes)


def _replace_place(graph, node, name, _):
    """tf2onnx's handler of the nodes that `ops.onnx_operators` makes: the operator itself takes their place."""
    description = json.loads(node.inputs[0].get_tensor_value())
    inputs, outputs = node.input[1:], node.output
    shapes, dtypes = node.output_shapes, node.output_dtypes
    graph.remove_node(name)
    graph.make_node(
        description["operator"],
        inputs,
        attr=description["attributes"],
        outputs=outputs,
        shapes=shapes,
        dtypes=dtypes,
        name=name,
    )


def _write_erfc(graph, node, name, _):
    """GELU is written with 1 - erf in one operation, which tf2onnx does not know."""
    inputs, outputs, shapes, dtypes = node.input[:], node.output, node.output_shapes, node.output_dtypes
    graph.remove_node(name)
    erf = graph.make_node("Erf", inputs, shapes=shapes, dtypes=dtypes)
    one = graph.make_const(f"{name}_one", np.ones((), np.float32))
    operands = [one.output[0], erf.output[0]]
    graph.make_node("Sub", operands, outputs=outputs, shapes=shapes, dtypes=dtypes, name=name)


def _rename(graph, node, name, _):
    node.type = DIRECT[node.type]


def _write(proto, metadata, place):
    import onnx as onnx_package

    onnx_package.helper.set_model_props(proto, {name: json.dumps(value) for name, value in metadata.items()})
    proto.doc_string, proto.graph.doc_string = DOC, ""
    place.write_bytes(proto.SerializeToString())
