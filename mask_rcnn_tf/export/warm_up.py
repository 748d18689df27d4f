"""Requests that TF Serving answers while it loads a model, so that the first client does not wait for it."""

import pathlib

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.config import ModelConfig

FILE = "tf_serving_warmup_requests"


def write_warm_up(config: ModelConfig, folder: pathlib.Path):
    """Writes one request to each signature: TFRecords of `tensorflow.serving.PredictionLog`.

    Args:
      config: the model's; the images have its usual size.
      folder: `assets.extra` of the SavedModel.

    Source: TensorFlow Serving, "SavedModel Warmup"; tensorflow_serving/apis/prediction_log.proto, predict.proto and
      model.proto.
    """
    preprocess = config.preprocess
    kind = preprocess.pixels
    shape = (preprocess.short_side, preprocess.max_side, kind.channels)
    image = np.random.default_rng(0).integers(0, kind.white, shape, kind.dtype, endpoint=True)
    inputs = {"serving_default": ("images", image[None])}
    if kind.has_files:
        encode = tf.io.encode_jpeg if kind.is_rgb else tf.io.encode_png
        inputs["serving_bytes"] = ("image_bytes", [encode(image).numpy()])
    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for signature, (name, value) in inputs.items():
            writer.write(_prediction_log(signature, name, value))


def _prediction_log(signature, name, value):
    """Serialized `PredictionLog(predict_log=PredictLog(request=PredictRequest(...)))`.

    Written field by field: the package that has these messages, tensorflow-serving-api, requires `tensorflow`, which
    pip installs over `tensorflow-cpu`.
    """
    tensor = tf.make_tensor_proto(value).SerializeToString()
    model_spec = _field(3, signature.encode())
    request = _field(1, model_spec) + _field(2, _field(1, name.encode()) + _field(2, tensor))
    return _field(6, _field(1, request))


def _field(number, payload):
    """A length-delimited field of a protocol buffer: string, bytes, message or map entry."""
    length, size = bytearray(), len(payload)
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + payload
