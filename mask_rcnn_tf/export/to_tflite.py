"""TFLite files of builtin operators alone, for phones: float32, float16, or int8 networks between float geometry."""

import json
import os
import re
import warnings
from typing import Any

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.config import to_dict
from mask_rcnn_tf.export import tflite_file, tflite_merge, tflite_metadata, tflite_stages
from mask_rcnn_tf.export.agreement import LEAST_AGREEMENT, least_agreement
from mask_rcnn_tf.export.canvas import Canvas, check_canvas, default_canvas
from mask_rcnn_tf.export.check_images import calibration_images, images_to_compare
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.folding import fold
from mask_rcnn_tf.export.labels import label_map
from mask_rcnn_tf.export.output import written_whole
from mask_rcnn_tf.export.runners.tflite import TfliteNetworks
from mask_rcnn_tf.export.verification import check_runner, verify
from mask_rcnn_tf.models.backbones.fpn import upsample_by_resize
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN

MAX_CATEGORY_ID = 2**16 - 1  # labels.txt has a line for each number
TENSORS = {  # what the metadata says of inputs and outputs
    "image": "{levels}, resized, in the upper left corner; 0 beyond it.",
    "image_shape": "(h, w) of the image on the canvas.",
    "original_shape": "(h, w) of the image before resizing: the frame of detection_boxes.",
    "num_detections": "Rows that are not padding.",
    "detection_boxes": "[y1, x1, y2, x2] in pixels of the original image, best score first.",
    "detection_scores": "0..1.",
    "detection_classes": "Category ids: lines of labels.txt, counted from 0.",
    "detection_masks": "Probabilities in the frame of the box.",
    "detection_keypoints": "(x, y) in pixels of the original image, and a score from 0 to 1.",
    "normalized": "{channel_order}, (level * {pixel_scale} - {mean}) / {std}, 0 beyond the image.",
    "box_pooled": "Pooled features at the proposals.",
    "class_logits": "Background first.",
    "box_deltas": "(dy, dx, dh, dw) of classes 1..C, or of all as one, to be divided by config.json's delta_weights.",
    "mask_pooled": "Pooled features at the detections.",
    "mask_logits": "Of classes 1..C.",
    "keypoint_pooled": "Pooled features at the detections.",
    "keypoint_logits": "Heat maps in the frame of the box, one a keypoint.",
    "objectness_": "RPN logits in the order of anchors.f32.",
    "deltas_": "(dy, dx, dh, dw) to the anchors.",
}
FILES = {
    "labels.txt": "Line i, from 0: the name of category id i.",
    "labels.json": "Category id to name.",
    "config.json": "The model's configuration (mask_rcnn_tf.config.ModelConfig).",
    "canvas.json": "[H, W] of the canvas, pixels.",
    "anchors.f32": "Little-endian float32 [N, 4]: [y1, x1, y2, x2] of the RPN's anchors, pixels of the canvas.",
}


def tflite(
    model: MaskRCNN,
    path: str | os.PathLike,
    images: list[np.ndarray] | None = None,
    *,
    canvas: Canvas | None = None,
    quantization: str = "none",
    calibration: list[np.ndarray] | None = None,
    heads_only: bool = False,
):
    """Writes a model as a TFLite file, once it was seen to find the same as the model on the same canvas.

    The file has one signature, `serving_default`: image [1, H, W, 3], image_shape and original_shape int32 [1, 2]
    (`canvas.place_on_canvas` makes the first two) to the outputs of `signatures`. Behind the model lies a ZIP archive
    with labels.txt (which TFLite's metadata names as the labels of detection_classes), labels.json, config.json and
    canvas.json.

    heads_only leaves out what the delegates of GPUs do not run (NMS, top-k, gathers). The file then has a
    signature a network, and anchors.f32 in its archive, and the client does what lies between, on the processor;
    `runners.tflite.TfliteNetworks` is such a client::

      network    normalized [1, H, W, 3] -> levels, objectness_* and deltas_* of each level. The client decodes the
                 deltas at anchors.f32, clips, keeps the best proposals of each level by NMS, then the best of all, and
                 pools box_pooled by RoIAlign.
      box_head   box_pooled [K, side, side, c] -> class_logits, box_deltas. The client decodes the deltas at the
                 proposals, keeps the best by NMS within each class, and pools mask_pooled.
      box_head_1, box_head_2, ...  of a cascade, in the place of box_head: box_pooled_1 -> class_logits_1, box_deltas_1
                 and so on, each from the clipped boxes of the one before (cascade_delta_weights); scores are the mean.
      mask_head  mask_pooled [D, side, side, c] -> mask_logits [D, M, M, C], of which the sigmoid of channel class - 1
                 is the mask.
      keypoint_head  keypoint_pooled [D, side, side, c] -> keypoint_logits [D, 4 side, 4 side, J], whose best place,
                 once it is enlarged to the box by bicubic interpolation, is the keypoint.

    Args:
      model: `MaskRCNN` with class names.
      path: file that is to be.
      images: uint8 [h, w, 3], RGB, to compare detections on; None: drawn scenes.
      canvas: (H, W), multiples of `preprocess.size_divisor`; None: the square that holds every image.
      quantization: "none" (float32), "float16" (weights), "dynamic" (weights int8, activations float), or "int8"
        (weights and activations of backbone, pyramid and heads; boxes, NMS, RoIAlign and scores stay float32).
      calibration: uint8 [h, w, 3], RGB, whose activations give the ranges of "int8", some tens of images like those
        that will come; None: `images`. The other quantizations need none.
      heads_only: whether the file has the networks alone.

    Raises:
      ExportError: an argument is wrong, `path` exists or cannot be written, or the file finds something else.
    """
    least = least_agreement(quantization, LEAST_AGREEMENT)
    tflite_file.schema()  # before minutes of work
    folded = fold(model, kernels="tflite")
    if folded.pyramid is not None:
        folded.pyramid.upsample = upsample_by_resize
    files = _files(model, check_canvas(model.config, default_canvas(model.config) if canvas is None else canvas))
    canvas = tuple(json.loads(files["canvas.json"]))
    images = images_to_compare(model.config, images)
    calibration = calibration_images(model.config, calibration, images)
    with written_whole(path, ".tflite") as place:
        if heads_only:
            graphs = tflite_stages.network_graphs(folded, canvas, True)
            converted = tflite_merge.gather(_networks(folded, canvas, graphs, quantization, calibration))
            files["anchors.f32"] = tflite_stages.anchors(folded, canvas).astype("<f4").tobytes()
        else:
            converted = _whole(folded, canvas, quantization, calibration)
        _write(place, converted, files, model.config)
        if heads_only:
            check_runner(TfliteNetworks(place, folded), model, images, least)
        else:
            verify(place, model, images, least)


def _files(model, canvas):
    labels = label_map(model.config)
    if too_large := [number for number in labels if int(number) > MAX_CATEGORY_ID]:
        raise ExportError(f"config.model.category_ids has {too_large[0]}; allowed in TFLite: up to {MAX_CATEGORY_ID}.")
    return {
        "labels.txt": tflite_metadata.label_lines(labels),
        "labels.json": json.dumps(labels, indent=2),
        "config.json": json.dumps(to_dict(model.config), indent=2),
        "canvas.json": json.dumps(canvas),
    }


def _whole(model, canvas, quantization, calibration):
    """The `ModelT` of the whole graph; where networks are quantized they are put between float geometry."""
    if quantization == "none":
        return _convert(tflite_stages.whole_graph(model, canvas), model)
    graphs = tflite_stages.network_graphs(model, canvas, False)
    geometry = tflite_stages.geometry_graph(model, canvas, graphs)
    asked = {name for graph in graphs.values() for name in graph.structured_input_signature[1]}
    outputs = sorted(set(geometry.structured_outputs) - asked)
    parts = [_convert(geometry, model), *_networks(model, canvas, graphs, quantization, calibration).values()]
    return tflite_merge.merge(parts, list(tflite_stages.input_specs(model, canvas)), outputs)


def _networks(model, canvas, graphs, quantization, calibration) -> dict[str, Any]:
    """{name: ModelT} of the networks alone."""
    converted = {}
    for name, graph in graphs.items():
        inputs = None
        if quantization == "int8":
            inputs = lambda graph=graph: tflite_stages.network_inputs(model, canvas, calibration, graph)  # noqa: E731
        converted[name] = _convert(graph, model, quantization, inputs)
    return converted


def _convert(graph, model, quantization="none", representative=None):
    holder = tf.Module()
    holder.graph, holder.model_variables = graph, [variable.value for variable in model.weights]
    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph], holder)
    if quantization != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    converter.representative_dataset = representative
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated.*")  # which the converter itself uses
        return tflite_file.from_bytes(converter.convert())


def _write(path, converted, files, config):
    graphs = [_described(converted, signature, config) for signature in converted.signatureDefs]
    description = f"Mask R-CNN, {config.num_classes} classes."
    content = tflite_metadata.metadata(description, graphs, {name: FILES[name] for name in files})
    tflite_file.add_metadata(converted, tflite_metadata.NAME, content)
    tflite_file.write(path, converted, files)


def _described(converted, signature, config):
    graph = converted.subgraphs[signature.subgraphIndex]
    names = {item.tensorIndex: tflite_file.text(item.name) for item in (*signature.inputs, *signature.outputs)}
    kind = config.preprocess.pixels
    levels = f"{'RGB' if kind.channels == 3 else f'{kind.channels} channels,'} levels 0..{kind.white}"
    texts = {name: text.format(**vars(config.preprocess), levels=levels) for name, text in TENSORS.items()}
    inputs, outputs = (
        {names[index]: texts.get(names[index]) or _text_of_level(texts, names[index]) for index in side}
        for side in (graph.inputs, graph.outputs)
    )
    return tflite_metadata.Graph(tflite_file.text(signature.signatureKey), inputs, outputs)


def _text_of_level(texts, name):
    of_stage = re.fullmatch(r"(.*)_(\d+)", name)
    if of_stage and of_stage[1] in texts:
        return f"Stage {of_stage[2]} of a cascade: {texts[of_stage[1]]}"
    kinds = (kind for kind in texts if kind.endswith("_") and name.startswith(kind))
    return texts.get(next(kinds, None), f"Features of level {name}.")
