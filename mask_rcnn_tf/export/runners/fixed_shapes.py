"""Programs of constant shapes: a batch of images on a canvas, and nothing else."""

from collections.abc import Callable

import numpy as np

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.export.canvas import Canvas, place_on_canvas
from mask_rcnn_tf.export.runners.outputs import to_detections


class FixedShapesRunner:
    """Runs a program that takes the arguments of `signatures.detect_canvas`.

    Args:
      config: the model's.
      canvas: (H, W).
      batch: B, images a run; the last one is repeated where there are fewer.
      run: from image [B, H, W, 3], image_shape int32 [B, 2] and original_shape int32 [B, 2] to {name: array} of
        `signatures`.
    """

    def __init__(self, config: ModelConfig, canvas: Canvas, batch: int, run: Callable[..., dict[str, np.ndarray]]):
        self.config, self.canvas, self.batch, self._run = config, canvas, batch, run

    def predict(self, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Detections of uint8 [h, w, 3] images; see `mask_rcnn_tf.predict_images`."""
        found = []
        for start in range(0, len(images), self.batch):
            chunk = images[start : start + self.batch]
            filled = [*chunk, *[chunk[-1]] * (self.batch - len(chunk))]
            placed, shapes = zip(*(place_on_canvas(self.config, image, self.canvas) for image in filled), strict=True)
            original = np.array([image.shape[:2] for image in filled], np.int32)
            outputs = self._run(np.stack(placed), np.stack(shapes), original)
            found += [to_detections(self.config, outputs, index) for index in range(len(chunk))]
        return found
