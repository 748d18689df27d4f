"""A SavedModel in the form of our exports that finds the dark rectangle of an image, with differences on demand."""

import json
import pathlib

import numpy as np
import tensorflow as tf
from PIL import Image
from tiny import tiny_config

from mask_rcnn_tf.config import to_dict

CATEGORY = 90  # class 3


def dark_config():
    """Three classes, category ids 7, 3, 90."""
    config = tiny_config()
    config.class_names, config.category_ids = ("a", "b", "c"), (7, 3, CATEGORY)
    return config


def write_saved_model(path, shift=0.0, score=0.9, bitmaps=False, found=1):
    """Boxes lie `shift` pixels too low; `bitmaps`: masks as those of `pasted=True`; `found`: how many detections."""

    def detect(images):
        dark = images[0, :, :, 0] < 128
        rows, columns = (tf.cast(tf.where(tf.reduce_any(dark, axis)), tf.float32) for axis in (1, 0))
        corners = [rows[0, 0] + shift, columns[0, 0], rows[-1, 0] + shift + 1, columns[-1, 0] + 1]
        boxes = tf.stack([tf.stack(corners), tf.zeros(4)])
        masks = tf.stack([tf.cast(dark, tf.uint8)] * 2) if bitmaps else tf.ones([2, 28, 28])
        return {
            "num_detections": tf.constant([found]),
            "detection_boxes": boxes[None],
            "detection_scores": tf.constant([[score, 0.0]]),
            "detection_classes": tf.constant([[CATEGORY, 0]]),
            "detection_masks": masks[None],
        }

    path = pathlib.Path(path)
    module = tf.Module()
    module.detect = tf.function(detect, input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "images")])
    tf.saved_model.save(module, str(path), {"serving_default": module.detect})
    (path / "assets").mkdir(exist_ok=True)
    (path / "assets" / "config.json").write_text(json.dumps(to_dict(dark_config())))


def write_images(folder, boxes):
    """An image of 64 x 96 pixels for each box (y1, x1, y2, x2), and `truth.json` beside the folder."""
    folder.mkdir()
    images, annotations = [], []
    for number, (y1, x1, y2, x2) in enumerate(boxes, start=1):
        image = np.full((64, 96, 3), 255, np.uint8)
        image[y1:y2, x1:x2] = 0
        Image.fromarray(image).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": 64, "width": 96})
        item = {"id": number, "image_id": number, "category_id": CATEGORY, "iscrowd": 0}
        item |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (y2 - y1) * (x2 - x1)}
        annotations.append(item | {"segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]]})
    truth = {"images": images, "annotations": annotations, "categories": [{"id": CATEGORY, "name": "c"}]}
    (folder.parent / "truth.json").write_text(json.dumps(truth))
