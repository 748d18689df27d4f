"""Records of random rectangles, and what large-scale jitter makes of them, written out in NumPy and Pillow."""

import numpy as np
import tensorflow as tf
from PIL import Image

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import shapes

CANVAS = (64, 96)
CASES = [  # scale, place of the window, flips
    (0.5, (0.3, 0.9), (False, False)),
    (1.0, (0.5, 0.5), (True, False)),
    (1.9, (0.25, 0.7), (False, True)),
    (1.4, (1.0, 0.0), (True, True)),
]


def jitter_config():
    """A configuration with large-scale jitter on one small canvas, whose pixels stay as they are."""
    config = Config()
    config.model.preprocess.short_side = config.model.preprocess.max_side = 64
    config.model.preprocess.mean, config.model.preprocess.channel_order = (0.0, 0.0, 0.0), "RGB"
    config.data.canvases, config.data.scale_jitter = (CANVAS,), (0.1, 2.0)
    config.data.max_gt, config.data.gt_mask_size = 6, 28
    return config


def make_record(height=60, width=80, objects=3, seed=0, keypoints=False):
    """Random image, rectangles with a notch as masks, boxes tight on them."""
    rng = np.random.default_rng(seed)
    masks, boxes = np.zeros((objects, height, width), np.uint8), np.zeros((objects, 4), np.float32)
    for index in range(objects):
        y1, x1 = rng.integers(0, height // 2), rng.integers(0, width // 2)
        y2, x2 = y1 + rng.integers(12, height // 2), x1 + rng.integers(12, width // 2)
        masks[index, y1:y2, x1:x2] = 1
        masks[index, y1 : y1 + (y2 - y1) // 2, x1 : x1 + (x2 - x1) // 2] = 0
        boxes[index] = y1, x1, y2, x2
    record = {
        "image": tf.constant(rng.integers(0, 256, (height, width, 3)), tf.uint8),
        "image_id": tf.constant(5, tf.int64),
        "boxes": tf.constant(boxes),
        "classes": tf.constant(np.arange(1, objects + 1), tf.int32),
        "mask_counts": ragged([shapes.run_lengths(mask) for mask in masks]),
    }
    if keypoints:
        points = np.concatenate([rng.uniform(1, 59, (objects, 3, 2)), rng.integers(0, 3, (objects, 3, 1))], axis=-1)
        record["keypoints"] = tf.constant(points * (points[..., 2:] > 0), tf.float32)
    return record, masks


def ragged(rows):
    flat = np.concatenate(rows) if rows else np.zeros(0)
    return tf.RaggedTensor.from_row_lengths(flat.astype(np.int32), np.array([len(row) for row in rows], np.int64))


def drawn(scale, window, flips):
    values = {"short_side": 64, "scale": np.float32(scale), "window": np.float32(window)}
    values |= dict(zip(("flip_horizontal", "flip_vertical"), flips, strict=True))
    return {name: tf.constant(value) for name, value in values.items()}


def flipped(array, flips, rows=0):
    array = np.flip(array, rows + 1) if flips[0] else array
    return np.flip(array, rows) if flips[1] else array


def by_hand(record, masks, scale, window, flips):
    """Image, resized shape and offset, boxes, and bitmaps on the canvas, as the definitions say."""
    height, width = record["image"].shape[:2]
    factor = min(CANVAS[0] * np.float64(np.float32(scale)) / height, CANVAS[1] * np.float64(np.float32(scale)) / width)
    resized = (round(height * factor), round(width * factor))
    shape = np.minimum(resized, CANVAS)
    top, left = np.round((np.array(resized) - shape) * np.float32(window)).astype(int)
    rows, columns = slice(top, top + shape[0]), slice(left, left + shape[1])
    image = np.asarray(Image.fromarray(record["image"].numpy()).resize(resized[::-1], Image.Resampling.BILINEAR))
    image = flipped(image[rows, columns], flips)
    boxes = record["boxes"].numpy().astype(np.float64) * np.tile(np.divide(resized, (height, width)), 2)
    boxes = np.clip(boxes - [top, left, top, left], 0, np.tile(shape, 2))
    if flips[0]:
        boxes = np.stack([boxes[:, 0], shape[1] - boxes[:, 3], boxes[:, 2], shape[1] - boxes[:, 1]], 1)
    if flips[1]:
        boxes = np.stack([shape[0] - boxes[:, 2], boxes[:, 1], shape[0] - boxes[:, 0], boxes[:, 3]], 1)
    index = [np.floor((np.arange(s) + 0.5) * o / s).astype(int) for s, o in zip(resized, (height, width), strict=True)]
    bitmaps = masks[:, index[0]][:, :, index[1]][:, rows, columns]
    return image, tuple(shape), (top, left), boxes, flipped(bitmaps, flips, 1)
