"""Our Mask or Keypoint R-CNN R50-FPN under torchvision's conventions, with the weights and scenes that theirs has."""

import tensorflow as tf
from scenes import make_weights

import mask_rcnn_tf
from mask_rcnn_tf.config import DataConfig
from mask_rcnn_tf.ops.masks import mask_to_box_frame
from mask_rcnn_tf.presets import load_config
from mask_rcnn_tf.training.schedule import make_optimizer
from mask_rcnn_tf.weights.mapping import assign
from mask_rcnn_tf.weights.projects.torchvision import PROJECT

MASK_SIZE = DataConfig().gt_mask_size
PRESETS = {"masks": "torchvision_mask_rcnn_r50_fpn", "keypoints": "torchvision_keypoint_rcnn_r50_fpn"}


def make_config(dtype, height, width, kernels="native", heads="masks"):
    """torchvision's conventions, with the epsilon of a backbone whose batch norm is frozen without COCO's weights."""
    config = load_config(PRESETS[heads])
    model = config.model
    model.kernels, model.dtype, model.backbone.norm_epsilon = kernels, dtype, 1e-5
    model.preprocess.short_side, model.preprocess.max_side = sorted((height, width))
    config.train.learning_rate = 1e-6
    return config


def build(config):
    """The compiled model of a `Config`, and where each of its variables came from."""
    heads = "keypoints" if config.model.keypoint_head.enabled else "masks"
    model, tensors = mask_rcnn_tf.MaskRCNN(config.model), make_weights(heads)
    entries = PROJECT.make_entries(model, tensors)
    assign(model, entries, tensors, PROJECT.ignored)
    model.compile(optimizer=make_optimizer(config, model))
    return model, entries


def make_batch(model, scenes):
    """The scenes as the pipeline gives them, masks in the frame that the model wants."""
    image, image_shape = model.preprocess(tf.constant(scenes["images"]))
    boxes = tf.constant(scenes["boxes"][..., [1, 0, 3, 2]], tf.float32)
    masks = scenes["masks"]
    if model.config.masks_on_canvas:
        masks = tf.constant(masks * 255, tf.uint8)
    else:
        objects = zip(masks.reshape(-1, *masks.shape[2:]), tf.reshape(boxes, [-1, 4]), strict=True)
        framed = tf.stack([mask_to_box_frame(tf.constant(mask), box, MASK_SIZE) for mask, box in objects])
        masks = tf.reshape(framed, [*masks.shape[:2], MASK_SIZE, MASK_SIZE])
    return {
        "image": image,
        "image_shape": image_shape,
        "image_id": tf.range(len(scenes["images"]), dtype=tf.int64),
        "gt_boxes": boxes,
        "gt_classes": tf.constant(scenes["classes"], tf.int32),
        "gt_masks": masks,
    }
