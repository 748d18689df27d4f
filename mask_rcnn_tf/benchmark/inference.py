"""Times inference, stage by stage and as a whole."""

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.benchmark import timing
from mask_rcnn_tf.models.box_head import select_detections
from mask_rcnn_tf.models.roi_rows import RoiRows
from mask_rcnn_tf.models.rpn import LEVELS, pyramid_anchors, select_proposals
from mask_rcnn_tf.ops import images as image_ops
from mask_rcnn_tf.ops.masks import paste_bitmap


class Stages:
    """The steps of `MaskRCNN.call`, each a function from the tensors so far to new ones.

    Args:
      model: `MaskRCNN`.
    """

    def __init__(self, model):
        self.model, self.config = model, model.config

    def named(self):
        """Every stage of the graph in order, {name: function of a dict of tensors that returns a dict of new ones}."""
        stages = {
            "preprocess": self.preprocess,
            "backbone_fpn": self.backbone_fpn,
            "rpn_head": self.rpn_head,
            "proposals": self.proposals,
            "box_roi_align": self.box_roi_align,
            "box_head": self.box_head,
            "class_nms": self.class_nms,
        }
        if self.model.mask_head is not None:
            stages.update(mask_roi_align=self.mask_roi_align, mask_head=self.mask_head)
        return stages

    def preprocess(self, state):
        """uint8 images -> the network's input."""
        image, image_shape = self.model.preprocess(state["images"])
        return {"image": image, "image_shape": image_shape}

    def backbone_fpn(self, state):
        """C2..C5, P2..P6."""
        return {"features": self.model.extract_features(state["image"])}

    def rpn_head(self, state):
        """Objectness and deltas of every anchor."""
        logits, deltas = zip(*(self.model.rpn_head(state["features"][name]) for name in LEVELS), strict=True)
        return {"objectness_logits": list(logits), "anchor_deltas": list(deltas)}

    def proposals(self, state):
        """Top anchors, decoding, NMS of every level, best of the image."""
        rpn, anchors = self.config.rpn, self.config.anchors
        canvas = tf.shape(state["image"])[1:3]
        proposals, counts = select_proposals(
            state["objectness_logits"],
            state["anchor_deltas"],
            pyramid_anchors(
                state["features"], canvas, anchors.sizes, anchors.ratios, anchors.rounded, anchors.stride_rule
            ),
            state["image_shape"],
            rpn.pre_nms_top_n_test,
            rpn.post_nms_top_n_test,
            rpn.nms_iou,
            rpn.min_size,
            rpn.ranking,
            self.config.kernels,
        )
        return {"proposals": proposals, "counts": counts}

    def _box_rows(self, state):
        valid = tf.range(tf.shape(state["proposals"])[1])[None] < state["counts"][:, None]
        return RoiRows(valid, self.config.kernels)

    def box_roi_align(self, state):
        """Features of the proposals."""
        rows = self._box_rows(state)
        return {"pooled": self.model.pool(state["features"], state["proposals"], rows, self.config.box_head.pool_size)}

    def box_head(self, state):
        """Class logits and box deltas."""
        rows = self._box_rows(state)
        class_logits, box_deltas = self.model.box_head(state["pooled"], valid=rows.counted)
        return {"class_logits": rows.restore(class_logits), "box_deltas": rows.restore(box_deltas)}

    def class_nms(self, state):
        """Softmax, decoding, NMS of every class, best of the image."""
        detection = self.config.detection
        return select_detections(
            state["class_logits"],
            state["box_deltas"],
            state["proposals"],
            state["counts"],
            state["image_shape"],
            self.config.box_head.delta_weights,
            detection.score_threshold,
            detection.nms_iou,
            detection.max_detections,
            detection.min_size,
            self.config.kernels,
            detection.max_candidates,
        )

    def _mask_rows(self, state):
        valid = tf.range(self.config.detection.max_detections)[None] < state["num_detections"][:, None]
        return RoiRows(valid, self.config.kernels)

    def mask_roi_align(self, state):
        """Features of the detections."""
        rows, size = self._mask_rows(state), self.config.mask_head.pool_size
        return {"mask_pooled": self.model.pool(state["features"], state["detection_boxes"], rows, size)}

    def mask_head(self, state):
        """Mask probabilities of the detections."""
        rows = self._mask_rows(state)
        classes = rows.flatten(state["detection_classes"])
        logits = self.model.mask_head(state["mask_pooled"], classes, valid=rows.counted)
        return {"detection_masks": rows.restore(tf.sigmoid(logits))}


def paste_all(detections, image_shapes, original_shape, config):
    """Pastes every mask of a batch into an image of its own.

    Args:
      detections: dict of `MaskRCNN.call`, boxes in network pixels.
      image_shapes: int [B, 2], valid (h, w).
      original_shape: (h, w), pixels of the images.
      config: `DetectionConfig`.

    Returns:
      A list of uint8 [num_detections, h, w], an image each.
    """
    originals = tf.broadcast_to(tf.constant(original_shape, tf.int32), tf.shape(image_shapes))
    boxes = image_ops.boxes_to_original(detections["detection_boxes"], image_shapes, originals).numpy()
    masks, pasted = detections["detection_masks"].numpy(), []
    for index, count in enumerate(detections["num_detections"].numpy()):
        canvas = np.zeros((count, *original_shape), np.uint8)
        for mask, probabilities, box in zip(canvas, masks[index, :count], boxes[index], strict=False):
            crop, (top, left) = paste_bitmap(probabilities, box, original_shape, config.mask_threshold, config.paste)
            mask[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
        pasted.append(canvas)
    return pasted


def benchmark_inference(model, images, runs):
    """Times a model on a batch.

    Args:
      model: `MaskRCNN`; with `kernels="xla"` all but preprocessing is compiled by XLA.
      images: uint8 [B, h, w, 3].
      runs: timed runs of each stage and of the whole, int.

    Yields:
      A dict for each stage: "stage" and the figures of `timing.summary`; the last, "total", is timed by itself, not
      summed, and has images a second, peak memory and how much work there was.
    """
    state = {"images": tf.constant(images)}
    compiled = model.config.kernels == "xla"
    for name, stage in Stages(model).named().items():
        function = tf.function(stage, jit_compile=compiled and name != "preprocess")
        seconds, new = timing.measure(lambda function=function: function(state), runs)
        state.update(new)
        yield {"stage": name, **timing.summary(seconds)}
    original_shape, detection = tuple(images.shape[1:3]), model.config.detection
    paste = model.mask_head is not None
    if paste:
        seconds, _ = timing.measure(lambda: paste_all(state, state["image_shape"], original_shape, detection), runs)
        yield {"stage": "paste", **timing.summary(seconds)}
    work = {"proposals": state["counts"], "detections": state["num_detections"]}
    work = {name: value.numpy().tolist() for name, value in work.items()}
    uint8_images = state["images"]
    state.clear()  # it holds every intermediate tensor; the peak is to be that of the whole alone
    yield {**_total(model, uint8_images, runs, compiled), **work}


def _total(model, images, runs, compiled):
    original_shape = tuple(images.shape[1:3])
    preprocess = tf.function(model.preprocess)
    detect = tf.function(lambda image, shape: model({"image": image, "image_shape": shape}), jit_compile=compiled)

    def whole():
        image, image_shape = preprocess(images)
        detections = detect(image, image_shape)
        if model.mask_head is not None:
            paste_all(detections, image_shape, original_shape, model.config.detection)

    whole()
    timing.reset_peak_memory()
    figures = timing.summary(timing.measure(whole, runs)[0])
    speed = {"images_per_s": round(len(images) / figures["median_s"], 3)}
    return {"stage": "total", **figures, **speed, **timing.peak_memory()}
