"""SavedModels that load in TensorFlow, TF Serving and TensorFlow's C API without this package."""

import json
import os
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.config import to_dict
from mask_rcnn_tf.export import signatures
from mask_rcnn_tf.export.check_images import images_to_compare
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.folding import fold
from mask_rcnn_tf.export.labels import label_map
from mask_rcnn_tf.export.output import written_whole
from mask_rcnn_tf.export.runners.saved_model import SavedModelRunner
from mask_rcnn_tf.export.verification import check_runner
from mask_rcnn_tf.export.warm_up import write_warm_up
from mask_rcnn_tf.models.inference import output_names
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN

LEAST_AGREEMENT = {"float32": None, "bfloat16": 0.9}  # None: the same detections

FILES_CHECKED = 2  # images that also go through `serving_bytes`


def saved_model(
    model: MaskRCNN,
    path: str | os.PathLike,
    images: list[np.ndarray] | None = None,
    dtype: str = "float32",
    pasted: bool = False,
):
    """Writes a model as a SavedModel, once it was seen to find the same as the model.

    Signatures: `serving_default(images: uint8 [B, h, w, 3])` and `serving_bytes(image_bytes: string [B])` (JPEG, PNG,
    WebP, BMP or GIF, of any sizes); outputs as in `signatures`. Batch norms are folded. Assets: `labels.json`
    (category id to name) and `config.json`; `assets.extra` has warm-up requests for TF Serving.

    Args:
      model: `MaskRCNN` with class names.
      path: folder that is to be; TF Serving wants a version number as its last part, e.g. "export/1".
      images: uint8 [h, w, 3], RGB, to compare detections on; None: drawn scenes.
      dtype: "float32", or "bfloat16" for weights and layers in it: half the size, several times faster on processors
        that multiply it (AMX, AVX-512 BF16; NVIDIA from Ampere), slower elsewhere.
      pasted: whether `detection_masks` are bitmaps, uint8 [B, D, h, w], instead of M x M probabilities.

    Raises:
      ExportError: an argument is wrong, `path` exists or cannot be written, or the SavedModel finds something else.
    """
    if dtype not in LEAST_AGREEMENT:
        raise ExportError(f"dtype is {dtype!r}; allowed: {', '.join(map(repr, LEAST_AGREEMENT))}.")
    folded = fold(model, dtype)
    if pasted and "detection_masks" not in output_names(folded.config, folded.stages):
        raise ExportError("pasted is True and the model has no mask head; allowed: False.")
    labels = label_map(model.config)
    images = images_to_compare(model.config, images)
    with written_whole(path) as place:
        _save(folded, place, pasted, {"labels.json": labels, "config.json": to_dict(model.config)})
        write_warm_up(model.config, place / "assets.extra")
        _check(place, model, images, LEAST_AGREEMENT[dtype], model.config.detection.paste if pasted else "continuous")


def _check(place, model, images, least, paste):
    runner = SavedModelRunner(place)
    check_runner(runner, model, images, least, paste)
    # The same network again: what this adds is the way from the file to the pixels.
    if model.config.preprocess.pixels.has_files:
        check_runner(runner.by("serving_bytes"), model, images[:FILES_CHECKED], least, paste)


def _save(model, path, pasted, assets):
    config = model.config

    def detect_images(images):
        outputs = signatures.detect_images(model, signatures.checked_images(config, images))
        shape = tf.tile(tf.shape(images)[None, 1:3], [tf.shape(images)[0], 1])
        return signatures.with_pasted_masks(config, outputs, shape) if pasted else outputs

    def detect_bytes(image_bytes):
        outputs = signatures.detect_bytes(model, image_bytes)
        return signatures.with_pasted_masks(config, outputs, outputs["original_shape"]) if pasted else outputs

    module = tf.Module()
    module.model_variables = [variable.value for variable in model.weights]
    kind = config.preprocess.pixels
    images = tf.TensorSpec([None, None, None, kind.channels], kind.dtype, "images")
    module.detect_images = tf.function(detect_images, input_signature=[images], autograph=False)
    functions = {"serving_default": module.detect_images}
    if kind.has_files:
        contents = tf.TensorSpec([None], tf.string, "image_bytes")
        module.detect_bytes = tf.function(detect_bytes, input_signature=[contents], autograph=False)
        functions["serving_bytes"] = module.detect_bytes
    with tempfile.TemporaryDirectory() as folder:
        for name, content in assets.items():
            pathlib.Path(folder, name).write_text(json.dumps(content, indent=2))
        module.assets = [tf.saved_model.Asset(os.path.join(folder, name)) for name in assets]
        tf.saved_model.save(module, os.fspath(path), functions)
