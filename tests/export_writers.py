"""Every form of a tiny model, by the name of its file, and images to compare detections on."""

import numpy as np

from mask_rcnn_tf.export import onnx, saved_model, stablehlo, tflite

CANVAS = (96, 128)
WRITERS = {
    "model": lambda model, path, images: saved_model(model, path, images),
    "model.onnx": lambda model, path, images: onnx(model, path, images),
    "canvas.onnx": lambda model, path, images: onnx(model, path, images, canvas=CANVAS),
    "model.tflite": lambda model, path, images: tflite(model, path, images, canvas=(128, 128)),
    "program": lambda model, path, images: stablehlo(model, path, images, CANVAS, 1),
    "heads.tflite": lambda model, path, images: tflite(model, path, images, canvas=(128, 128), heads_only=True),
}


def two_images():
    """Noise, uint8 [h, w, 3], of two sizes."""
    random = np.random.default_rng(0)
    return [random.integers(0, 256, shape).astype(np.uint8) for shape in ((72, 96, 3), (120, 90, 3))]
