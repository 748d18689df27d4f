"""Test-time augmentation: an image is predicted at several sizes and mirrored, and what is found is merged."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mask_rcnn_tf.config import AugmentationConfig, ModelConfig
from mask_rcnn_tf.models.inference import output_names
from mask_rcnn_tf.models.preprocessing import network_input, shrunk
from mask_rcnn_tf.models.steps import run_steps
from mask_rcnn_tf.ops import images as image_ops
from mask_rcnn_tf.ops.kernels import Kernels, get_kernels

LOWEST = 1e-8  # every pooled score has passed the threshold already
DETECTIONS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


class AugmentedPredictor:
    """Finds the objects of an image in several of its sizes, mirrored and not.

    The boxes of all of them are pooled in the frame of the image; NMS within each class and the best D leave the
    detections. The other heads look at these boxes in every size, and the mean of their answers counts: of mask
    probabilities, and of the logits of keypoints' heat maps, decoded at the size that the model predicts at. The
    features of all sizes are kept in memory meanwhile.

    Args:
      model: a `MaskRCNN`; it may be trained further.
      augmentation: with at least one short side.

    Raises:
      ValueError: there is no short side, the model finds no boxes, or a head of one's own does not say what is
        averaged.

    Source: paper, Appendix A; `detectron2/modeling/test_time_augmentation.py`, GeneralizedRCNNWithTTA; for keypoints,
      which it has not, `detectron/core/test.py`, im_detect_keypoints_aug (HM_AVG, union of boxes).
    """

    def __init__(self, model: keras.Model, augmentation: AugmentationConfig):
        if get_kernels(model.config.kernels).static:  # an image has many sizes here
            model = model.with_kernels("native")
        self._config, self._pooler, self._kernels = model.config, model.pooler, model.pooler.kernels
        self._views = _views(model.config, augmentation)
        self._heads = _describing_heads(model)
        self._outputs = output_names(model.config, model.stages)
        left = [step for head in self._heads for step in head.steps(model.config, model.pooler)]
        self._detecting, self._describing = model.steps()[: len(model.steps()) - len(left)], left
        scalar, shape = tf.TensorSpec([], tf.int32), tf.TensorSpec([1, 2], tf.int32)
        kind = model.config.preprocess.pixels
        image = tf.TensorSpec([1, None, None, kind.channels], kind.dtype)
        signature = [image, shape, (scalar, scalar), tf.TensorSpec([], tf.bool)]
        self._find = tf.function(self._find_boxes, input_signature=signature, autograph=False)
        self._merge = tf.function(self._merge_boxes, reduce_retracing=True, autograph=False)
        self._look = tf.function(self._describe, reduce_retracing=True, autograph=False)
        self._finish = tf.function(self._decode, reduce_retracing=True, autograph=False)

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Detections of an image.

        Args:
          image: uint8 [h, w, 3], RGB.

        Returns:
          The arrays of `predict_images` for one image.
        """
        original = tf.constant([image.shape[:2]])
        found, kept = [], []
        for preprocess, mirrored in self._views:
            pixels = tf.constant(shrunk(image, preprocess)[None])
            sizes = tf.constant(preprocess.short_side), tf.constant(preprocess.max_side)
            boxes, features = self._find(pixels, original, sizes, tf.constant(mirrored))
            found.append(boxes)
            kept.append(features | {"mirrored": tf.constant(mirrored)})
        outputs = self._merge([tf.concat(parts, 0) for parts in zip(*found, strict=True)], original)
        if self._heads:
            means = None
            for features in kept:
                values = self._look(features, outputs, original)
                means = values if means is None else {name: means[name] + values[name] for name in values}
            means = {name: value / len(kept) for name, value in means.items()}
            outputs = self._finish(kept[0], outputs, original, means)
        arrays = {name: np.asarray(outputs[name])[0] for name in self._outputs}
        count = int(arrays.pop("num_detections"))
        return {name: value[:count] for name, value in arrays.items()}

    def _find_boxes(self, images, original, sizes, mirrored):
        """(boxes [n, 4] in the image's own pixels, scores [n], classes [n]) of one view, and what `_describe` reads."""
        preprocess = self._config.preprocess
        image, shape = network_input(images, preprocess, self._kernels, sizes=sizes, mirrored=mirrored)
        tensors = run_steps(self._detecting, {"normalized": image, "image_shape": shape})
        boxes, scores, classes, counts = (tensors[name] for name in DETECTIONS)
        boxes = image_ops.boxes_to_original(_mirror(boxes, shape, mirrored), shape, original)
        rows = slice(counts[0])
        return (boxes[0, rows], scores[0, rows], classes[0, rows]), {
            name: tensors[name] for name in (*self._config.roi.levels, "image_shape")
        }

    def _merge_boxes(self, found, original):
        boxes, scores, classes = found
        return merge_detections(boxes, scores, classes, self._config, self._kernels)

    def _describe(self, kept, detections, original):
        """What each head averages, in one view, as it would be in the image."""
        shape, mirrored = kept["image_shape"], kept["mirrored"]
        boxes = image_ops.scale_boxes(detections["detection_boxes"], original, shape)
        tensors = {"roi_features": self._pooler.prepare(kept), "image_shape": shape} | detections
        tensors = run_steps(self._describing, tensors | {"detection_boxes": _mirror(boxes, shape, mirrored)})
        values = {head: tensors[head.averaged] for head in self._heads}
        return {
            head.averaged: tf.where(mirrored, head.unmirrored(value, self._config), value)
            for head, value in values.items()
        }

    def _decode(self, kept, detections, original, means):
        """The outputs, from the means of what heads average; the graph drops what the steps compute of one view."""
        preprocess = self._config.preprocess
        sizes = preprocess.short_side, preprocess.max_side, preprocess.size_rounding
        shape = image_ops.resized_shape(original[0], *sizes)[None]
        boxes = image_ops.scale_boxes(detections["detection_boxes"], original, shape)
        tensors = {"roi_features": self._pooler.prepare(kept), "image_shape": shape}
        tensors |= detections | {"detection_boxes": boxes}
        for step in self._describing:
            tensors = run_steps([step], tensors)
            tensors |= {name: value for name, value in means.items() if name in tensors}
        outputs = {name: tensors[name] for name in self._outputs}
        return image_ops.outputs_to_original(outputs, shape, original) | detections


def merge_detections(
    boxes: tf.Tensor, scores: tf.Tensor, classes: tf.Tensor, config: ModelConfig, kernels: Kernels
) -> dict[str, tf.Tensor]:
    """NMS within each class over the detections of several views of an image, best D.

    Args:
      boxes: float32 [n, 4], pixels of the image.
      scores: float32 [n].
      classes: int32 [n], 1..C.
      config: the model's.
      kernels: a set of `ops.kernels`.

    Returns:
      `detection_boxes` float32 [1, D, 4], `detection_scores` float32 [1, D], `detection_classes` int32 [1, D] and
      `num_detections` int32 [1], best first, zero-padded.

    Source: `detectron2/modeling/test_time_augmentation.py`, _merge_detections.
    """
    own_class = classes[:, None] == tf.range(1, config.num_classes + 1)
    scores = tf.where(own_class, scores[:, None], 0.0)[None]
    boxes = tf.tile(boxes[None, :, None], [1, 1, config.num_classes, 1])
    detection = config.detection
    found = kernels.class_nms(boxes, scores, detection.max_detections, detection.nms_iou, LOWEST, None)
    return dict(zip(DETECTIONS, found, strict=True))


def _views(config: ModelConfig, augmentation: AugmentationConfig) -> list[tuple[Any, bool]]:
    """(PreprocessConfig, whether it is mirrored) of each."""
    if not augmentation.short_sides:
        raise ValueError("augmentation.short_sides is (); allowed: at least one short side, in pixels.")
    views = []
    for side in augmentation.short_sides:
        in_proportion = round(config.preprocess.max_side * side / config.preprocess.short_side)
        longest = augmentation.max_side or max(in_proportion, 1)
        resized = dataclasses.replace(config.preprocess, short_side=side, max_side=longest)
        views += [(resized, mirrored) for mirrored in (False, True)[: 1 + augmentation.flip]]
    return views


def _describing_heads(model: keras.Model) -> Sequence[Any]:
    """The heads after the one that detects."""
    heads = list(model.stages.roi_heads)
    places = [i for i, head in enumerate(heads) if "detection_boxes" in head.output_specs(model.config)]
    if not places or not model.config.has_classes:
        raise ValueError("model finds no boxes of classes; allowed for test-time augmentation: a box head.")
    for head in heads[places[0] + 1 :]:
        if not head.averaged:
            raise ValueError(
                f"head {head.name!r} has no `averaged`; allowed for test-time augmentation: heads that name the tensor "
                "of their steps that is averaged, see RoiHead."
            )
    return heads[places[0] + 1 :]


def _mirror(boxes: tf.Tensor, shape: tf.Tensor, mirrored: tf.Tensor) -> tf.Tensor:
    """Boxes [1, n, 4] in an image of (h, w) [1, 2] whose left and right change places, where `mirrored` says so."""
    y1, x1, y2, x2 = tf.unstack(boxes, axis=-1)
    width = tf.cast(shape[0, 1], tf.float32)
    return tf.where(mirrored, tf.stack([y1, width - x2, y2, width - x1], -1), boxes)
