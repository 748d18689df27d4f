"""The RPN of a model as a model of its own, without a copy of its layers."""

import copy

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.models.stages import make_heads


def rpn_config(config: ModelConfig, count: int | None = None) -> ModelConfig:
    """The configuration of the RPN of a model alone, all of whose parts train.

    Args:
      config: the model's.
      count: proposals an image; None: `rpn.post_nms_top_n_test`.
    """
    config = copy.deepcopy(config)
    config.num_classes, config.class_names, config.category_ids, config.frozen = 1, ("object",), (), ()
    for head in config.heads:
        head.enabled = False
    config.rpn.post_nms_top_n_test = count or config.rpn.post_nms_top_n_test
    config.detection.max_detections, config.detection.score_threshold = config.rpn.post_nms_top_n_test, 0.0
    return config


def rpn_alone(model: MaskRCNN, count: int | None = None) -> MaskRCNN:
    """A model that finds what the RPN of another proposes; the layers are shared.

    Args:
      model: `MaskRCNN`.
      count: proposals an image; None: `rpn.post_nms_top_n_test`.

    Raises:
      ValueError: the model has no RPN.
    """
    if model.rpn_head is None:
        raise ValueError("model has no RPN (config.model.rpn.enabled is False); allowed: one that proposes boxes.")
    config = rpn_config(model.config, count)
    return MaskRCNN(config, model.stages._replace(roi_heads=tuple(make_heads(config)), roi_body=None))
