"""Builds the layers of Mask R-CNN, and their variables, from a `ModelConfig`."""

from mask_rcnn_tf.models.box_head import BoxHead
from mask_rcnn_tf.models.dtypes import resolve_dtype
from mask_rcnn_tf.models.fpn import FeaturePyramid
from mask_rcnn_tf.models.mask_head import MaskHead
from mask_rcnn_tf.models.resnet import ResNet
from mask_rcnn_tf.models.rpn import RpnHead


def make_stages(config):
    """Builds every layer.

    Args:
      config: a validated `ModelConfig`.

    Returns:
      {"backbone", "pyramid", "rpn_head", "box_head" and, where enabled, "mask_head"}: built Keras layers.
    """
    dtype, backbone, head = resolve_dtype(config.dtype), config.backbone, config.box_head
    num_anchors = len(config.anchors.sizes[0]) * len(config.anchors.ratios)
    momentum = backbone.norm_momentum
    channels = config.fpn.channels
    stages = {
        "backbone": ResNet(**vars(backbone), name="backbone", dtype=dtype),
        "pyramid": FeaturePyramid(channels, config.fpn.norm, momentum, name="pyramid", dtype=dtype),
        "rpn_head": RpnHead(num_anchors, config.rpn.num_convs, config.rpn.channels, name="rpn_head", dtype=dtype),
        "box_head": BoxHead(
            config.num_classes,
            head.num_convs,
            head.conv_channels,
            head.num_fcs,
            head.fc_channels,
            head.norm,
            momentum,
            name="box_head",
            dtype=dtype,
        ),
    }
    stages["backbone"].build((None, None, None, 3))
    stages["pyramid"].build({f"C{i}": (None, None, None, stages["backbone"].channels_of(i)) for i in range(2, 6)})
    stages["rpn_head"].build((None, None, None, channels))
    stages["box_head"].build((None, head.pool_size, head.pool_size, channels))
    if config.mask_head.enabled:
        mask = config.mask_head
        stages["mask_head"] = MaskHead(
            config.num_classes, mask.num_convs, mask.channels, mask.norm, momentum, name="mask_head", dtype=dtype
        )
        stages["mask_head"].build((None, mask.pool_size, mask.pool_size, channels))
    return stages
