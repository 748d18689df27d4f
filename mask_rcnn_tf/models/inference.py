"""The one description of inference, from a normalised image to detections: used by the model, exports and benchmark."""

import tensorflow as tf

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.models.pooler import Pooler
from mask_rcnn_tf.models.rpn import pyramid_anchors, run_levels, scored_proposals
from mask_rcnn_tf.models.stages import Stages
from mask_rcnn_tf.models.steps import Step, Tensors


def inference_steps(config: ModelConfig, stages: Stages, pooler: Pooler) -> list[Step]:
    """What a model does with an image.

    Args:
      config: the model's.
      stages: its layers.
      pooler: its RoI operator.

    Returns:
      Steps from `normalized` float32 [B, H, W, 3] (sides multiples of `size_divisor`) and `image_shape` int32 [B, 2] to
      the outputs of the heads; where there is no RPN, from `proposals` and `num_proposals` too. Between them stand, by
      name:
        the levels of `Stages.spec` [B, h, w, c]; objectness_* [B, h * w * A] and deltas_* [B, h * w * A, 4] of each,
        in (row, column, anchor) order; `proposals` float32 [B, K, 4], `num_proposals` int32 [B], `proposal_scores`
        float32 [B, K]; `roi_features`, unless no head pools.
    """

    def backbone(tensors: Tensors) -> Tensors:
        return extract_features(stages, tensors["normalized"])

    def rpn_head(tensors: Tensors) -> Tensors:
        names = config.rpn.levels
        outputs = run_levels(stages.rpn_head, [tensors[name] for name in names])
        kinds = ("objectness", "deltas")
        return {f"{kinds[i]}_{name}": output[i] for name, output in zip(names, outputs, strict=True) for i in (0, 1)}

    def proposals(tensors: Tensors) -> Tensors:
        logits, deltas = (
            [tensors[f"{kind}_{name}"] for name in config.rpn.levels] for kind in ("objectness", "deltas")
        )
        anchors = anchors_of(config, stages, tensors["normalized"])
        levels = list(zip(logits, deltas, anchors, strict=True))
        found = scored_proposals(levels, tensors["image_shape"], config.rpn, pooler.kernels)
        return dict(zip(("proposals", "num_proposals", "proposal_scores"), found, strict=True))

    def roi_features(tensors: Tensors) -> Tensors:
        return {"roi_features": pooler.prepare(tensors)}

    rpn_alone = tuple(name for name in stages.spec if name not in config.roi.levels)
    has_rpn = stages.rpn_head is not None
    pools = any(head.pool_size for head in stages.roi_heads)
    steps = [
        Step("backbone_fpn", backbone, "network", ("normalized",), rpn_alone if pools else tuple(stages.spec)),
        *[Step("rpn_head", rpn_head, "network"), Step("proposals", proposals)] * has_rpn,
        *[Step("roi_features", roi_features)] * pools,
    ]
    return steps + [step for head in stages.roi_heads for step in head.steps(config, pooler)]


def extract_features(stages: Stages, image: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
    """[B, H, W, 3], normalised, sides multiples of `size_divisor` -> {level of `Stages.spec`: [B, h, w, c]}."""
    features = stages.backbone(image, training=training)
    return features if stages.pyramid is None else stages.pyramid(features, training=training)


def anchors_of(config: ModelConfig, stages: Stages, image: tf.Tensor) -> list[tf.Tensor]:
    """Anchors of each of `rpn.levels`, float32 [h * w * A, 4], for network input [B, H, W, 3]."""
    canvas = tuple(image.shape[1:3]) if None not in image.shape[1:3] else tuple(tf.unstack(tf.shape(image)[1:3]))
    return pyramid_anchors(canvas, [stages.spec[name][0] for name in config.rpn.levels], config.anchors)


def output_names(config: ModelConfig, stages: Stages) -> tuple[str, ...]:
    """Which of the tensors are the model's outputs: those of the heads, or the proposals where there is no head."""
    names = tuple(name for head in stages.roi_heads for name in head.output_specs(config))
    return names or ("proposals", "num_proposals")
