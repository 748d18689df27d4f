"""Images, labels and weights that load the network as real ones do, made from a seed."""

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.pixels import RGB, PixelKind, of_kind


def random_images(batch_size: int, height: int, width: int, kind: PixelKind = RGB, seed: int = 0) -> np.ndarray:
    """Patches of random colours at several scales, so that no two places look alike.

    Args:
      batch_size: B.
      height, width: pixels.
      kind: of the model.
      seed: int.

    Returns:
      `kind.dtype` [B, height, width, C].
    """
    random = np.random.default_rng(seed)
    image = np.zeros((batch_size, height, width, 3), np.float32)
    for side in (64, 16, 4):
        grid = random.uniform(0, 255 / 3, (batch_size, -(-height // side), -(-width // side), 3)).astype(np.float32)
        image += grid.repeat(side, 1).repeat(side, 2)[:, :height, :width]
    return of_kind(image.astype(np.uint8), kind)


def labelled_batch(
    model: MaskRCNN,
    batch_size: int,
    height: int,
    width: int,
    *,
    objects: int = 8,
    mask_size: int = 112,
    seed: int = 0,
) -> dict[str, tf.Tensor]:
    """A training batch: random images with ellipses as ground truth.

    Args:
      model: `MaskRCNN`; it preprocesses the images, and says in which frame it wants the masks.
      batch_size: B.
      height, width: pixels before preprocessing.
      objects: G, an image.
      mask_size: side of the masks in the box frame.
      seed: int.

    Returns:
      Dict of tensors as `mask_rcnn_tf.data.pipeline` gives it.
    """
    random = np.random.default_rng(seed)
    images = random_images(batch_size, height, width, model.config.preprocess.pixels, seed)
    image, image_shape = model.preprocess(tf.constant(images))
    size = np.tile(np.asarray(image_shape[0], np.float32), 2)
    sides = random.uniform(0.1, 0.5, (batch_size, objects, 2))
    corners = random.uniform(0, 1, (batch_size, objects, 2)) * (1 - sides)
    boxes = (np.concatenate([corners, corners + sides], -1) * size).astype(np.float32)
    if model.config.masks_on_canvas:
        masks = _ellipses(boxes, *image.shape[1:3])
    else:
        unit = np.tile(np.float32([0, 0, mask_size, mask_size]), (batch_size, objects, 1))
        masks = _ellipses(unit, mask_size, mask_size)
    return {
        "image": image,
        "image_shape": image_shape,
        "original_shape": tf.tile([[height, width]], [batch_size, 1]),
        "image_id": tf.range(batch_size, dtype=tf.int64),
        "gt_boxes": tf.constant(boxes),
        "gt_classes": tf.constant(random.integers(1, model.config.num_classes + 1, (batch_size, objects)), tf.int32),
        "gt_masks": tf.constant(masks),
    }


def _ellipses(boxes, height, width):
    """The ellipse inside each box, uint8 0 or 255 [..., height, width]."""
    y1, x1, y2, x2 = (boxes[..., i, None, None] for i in range(4))
    y, x = np.arange(height)[:, None] + 0.5, np.arange(width)[None] + 0.5
    distance = ((2 * y - y1 - y2) / (y2 - y1)) ** 2 + ((2 * x - x1 - x2) / (x2 - x1)) ** 2
    return np.where(distance <= 1, 255, 0).astype(np.uint8)


def spread_predictions(model: MaskRCNN, image: tf.Tensor, image_shape: tf.Tensor):
    """Scales the kernels of the last layers until their outputs spread as a trained network's do.

    Under the usual initial values every class gets the same score: no detection passes the threshold, and the stages
    behind it would be timed without work. Boxes would vary with the scale of the features.

    Args:
      model: `MaskRCNN` with random weights; changed in place.
      image: float32 [B, H, W, 3], network input.
      image_shape: int32 [B, 2].
    """

    def rescale(kernel, outputs, spread):
        kernel.assign(kernel * tf.cast(spread / (tf.math.reduce_std(outputs) + 1e-12), kernel.dtype))

    # One after the other: what is rescaled decides what the next layer sees.
    tensors = model.trace(image, image_shape)
    for kind, layer, spread in (("objectness", model.rpn_head.objectness, 2.0), ("deltas", model.rpn_head.deltas, 0.2)):
        outputs = [tensors[f"{kind}_{name}"] for name in model.config.rpn.levels]
        rescale(layer.kernel, tf.concat(outputs, 1), spread)
    stages = [] if model.box_head is None else model.box_head.each_stage()
    for number, stage in enumerate(stages, start=1):
        tensors, suffix = model.trace(image, image_shape), f"_{number}" if len(stages) > 1 else ""
        rescale(stage.classes.kernel, tensors[f"class_logits{suffix}"], 2.5)
        rescale(stage.deltas.kernel, tensors[f"box_deltas{suffix}"], 0.5)
