"""The only list of what a Mask R-CNN is made of: its layers, and their variables, from a `ModelConfig`."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras

from mask_rcnn_tf.arguments import check_kind
from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.models.backbones.fpn import FeaturePyramid
from mask_rcnn_tf.models.backbones.keras_levels import KerasLevels
from mask_rcnn_tf.models.backbones.resnet import ResNet, RoiBody
from mask_rcnn_tf.models.conv_norm import ConvNorm
from mask_rcnn_tf.models.dtypes import resolve_dtype
from mask_rcnn_tf.models.heads.base import RoiHead
from mask_rcnn_tf.models.heads.box import BoxHead
from mask_rcnn_tf.models.heads.cascade import CascadeBoxHead
from mask_rcnn_tf.models.heads.keypoint import KeypointHead
from mask_rcnn_tf.models.heads.mask import MaskHead
from mask_rcnn_tf.models.heads.proposals import ProposalHead
from mask_rcnn_tf.models.rpn import RpnHead
from mask_rcnn_tf.models.sublayers import sublayers
from mask_rcnn_tf.ops.kernels import get_kernels

# Among the backbone's fields.
OF_KERAS = ("keras_application", "keras_layers")
NOT_OF_A_BODY = (*OF_KERAS, "stem_channels", "stem_kernel", "out_levels", "c5_dilation", "non_local_after")
# Names of the configuration's heads: attributes of the model, None where it has none.
HEADS = ("box_head", "mask_head", "keypoint_head")


class Stages(NamedTuple):
    """Built Keras layers.

    Attributes:
      backbone: image [B, H, W, 3] -> {level: [B, ceil(H / stride), ceil(W / stride), channels]}, as its `spec` says.
      pyramid: a layer from the backbone's levels to others, with a `spec` too; None: the heads read the backbone.
      rpn_head: one level -> objectness logits and anchor deltas; None: proposals are given.
      roi_heads: `RoiHead`s in the order in which they run.
      roi_body: a layer from pooled RoIs to the maps that the heads read; None: they read what is pooled.
    """

    backbone: Any
    pyramid: Any
    rpn_head: Any
    roi_heads: tuple[RoiHead, ...]
    roi_body: Any = None

    @property
    def layers(self) -> tuple[keras.layers.Layer, ...]:
        """All that there are, those that share their outputs first."""
        shared = (self.backbone, self.pyramid, self.rpn_head, self.roi_body)
        return (*(layer for layer in shared if layer is not None), *self.roi_heads)

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Of all losses, in the order of the log."""
        of_rpn = () if self.rpn_head is None else ("rpn_objectness", "rpn_box")
        return (*of_rpn, *(name for head in self.roi_heads for name in head.loss_names))

    @property
    def spec(self) -> dict[str, tuple[int, int]]:
        """{level: (stride, channels)} of the features that RPN and heads read."""
        return dict((self.pyramid or self.backbone).spec)


def make_stages(
    config: ModelConfig, backbone: keras.layers.Layer | None = None, heads: Sequence[RoiHead] | None = None
) -> Stages:
    """Builds every layer.

    Args:
      config: a validated `ModelConfig`.
      backbone: None for the configuration's ResNet or model of Keras, with or without FPN; or a layer of your own with
        a `spec`, which RPN and heads then read.
      heads: None for those of the configuration (`make_heads`).

    Raises:
      ValueError: a part is of another kind, levels of the configuration do not suit the backbone, two heads have one
        name, or `frozen` names a part that there is not.
    """
    _check_parts(backbone, heads)
    dtype, pyramid = resolve_dtype(config.dtype), None
    if backbone is None:
        backbone = _backbone(config.backbone, name="backbone", dtype=dtype)
        if config.fpn.enabled:
            fpn, momentum = config.fpn, config.backbone.norm_momentum
            pyramid = FeaturePyramid(backbone.spec, fpn.channels, fpn.norm, momentum, name="pyramid", dtype=dtype)
    stages = Stages(backbone, pyramid, _rpn_head(config, dtype), tuple(make_heads(config) if heads is None else heads))
    check_levels(config, stages.spec)
    if any(head.pool_size for head in stages.roi_heads):
        stages = stages._replace(roi_body=_roi_body(config, stages.spec, dtype))
    names = [head.name for head in stages.roi_heads]
    if len(set(names)) < len(names):
        raise ValueError(f"heads have the names {', '.join(names)}; allowed: a name of its own for each.")
    _build(config, stages)
    _freeze(config, stages)
    form = get_kernels(config.kernels).convolution
    for layer in (layer for part in stages.layers for _, layer in sublayers(part) if isinstance(layer, ConvNorm)):
        layer.form = form
    return stages


def _backbone(backbone, **common):
    """The configuration's ResNet, or model of Keras."""
    if not backbone.keras_application:
        return ResNet(**{name: value for name, value in vars(backbone).items() if name not in OF_KERAS}, **common)
    try:
        return KerasLevels(
            backbone.keras_application,
            backbone.keras_layers,
            levels=backbone.out_levels,
            frozen_norms=backbone.norm == "frozen_batch_norm",
            frozen_stages=backbone.frozen_stages,
            **common,
        )
    except ValueError as error:
        name, layers = backbone.keras_application, backbone.keras_layers
        raise ValueError(f"config.model.backbone.keras_layers is {layers}, of {name}: {error}") from error


def _check_parts(backbone, heads):
    if backbone is not None and not (isinstance(backbone, keras.layers.Layer) and hasattr(backbone, "spec")):
        came = f"a {type(backbone).__name__} without `spec`"
        raise ValueError(
            f"backbone is {came}; allowed: a layer with one, such as KerasBackbone makes of a Keras model."
        )
    if heads is not None:
        check_kind("heads", heads, (list, tuple), "a list of RoiHead")
        for i, head in enumerate(heads):
            check_kind(f"heads[{i}]", head, RoiHead, "a RoiHead")


def _rpn_head(config, dtype):
    if not config.rpn.enabled:
        return None
    num_anchors = len(config.anchors.sizes[0]) * len(config.anchors.ratios)
    return RpnHead(num_anchors, config.rpn.num_convs, config.rpn.channels, name="rpn_head", dtype=dtype)


def _roi_body(config, spec, dtype):
    if config.roi.body == "none":
        return None
    options = {name: value for name, value in vars(config.backbone).items() if name not in NOT_OF_A_BODY}
    return RoiBody(spec[config.roi.levels[0]][1], **options, name="roi_body", dtype=dtype)


def make_heads(config: ModelConfig) -> list[RoiHead]:
    """The heads that a configuration asks for, not yet built; with others of your own they make a longer list."""
    dtype, momentum = resolve_dtype(config.dtype), config.backbone.norm_momentum
    if not config.has_classes:
        return [ProposalHead(name="proposal_head", dtype=dtype)]
    heads = [_box_head(config, norm_momentum=momentum, dtype=dtype)]
    if config.has_masks:
        heads.append(_mask_head(config, norm_momentum=momentum, dtype=dtype))
    if config.has_keypoints:
        heads.append(_keypoint_head(config, dtype=dtype))
    return heads


def _box_head(config, **common):
    box = config.box_head
    count = len(box.stage_delta_weights)
    kind = BoxHead if count == 1 else functools.partial(CascadeBoxHead, num_stages=count)
    return kind(
        config.num_classes,
        num_convs=box.num_convs,
        conv_channels=box.conv_channels,
        num_fcs=box.num_fcs,
        fc_channels=box.fc_channels,
        norm=box.norm,
        pool_size=box.pool_size,
        class_agnostic=box.class_agnostic,
        average=box.average,
        name="box_head",
        **common,
    )


def _mask_head(config, **common):
    mask = config.mask_head
    return MaskHead(
        config.num_classes,
        num_convs=mask.num_convs,
        channels=mask.channels,
        norm=mask.norm,
        pool_size=mask.pool_size,
        map_size=config.map_size(mask.pool_size),
        num_fcs=mask.num_fcs,
        fc_channels=mask.fc_channels,
        class_agnostic=mask.class_agnostic,
        activation=mask.activation,
        name="mask_head",
        **common,
    )


def _keypoint_head(config, **common):
    keypoint = config.keypoint_head
    return KeypointHead(
        keypoint.num_keypoints,
        num_convs=keypoint.num_convs,
        channels=keypoint.channels,
        pool_size=keypoint.pool_size,
        map_size=config.map_size(keypoint.pool_size),
        name="keypoint_head",
        **common,
    )


def check_levels(config: ModelConfig, spec: Mapping[str, tuple[int, int]]):
    """Raises ValueError: `rpn.levels` or `roi.levels` are not levels of `spec` ({name: (stride, channels)})."""
    for section in ("rpn", "roi") if config.rpn.enabled else ("roi",):
        levels = getattr(config, section).levels
        if unknown := [name for name in levels if name not in spec]:
            raise ValueError(
                f"config.model.{section}.levels has {', '.join(map(repr, unknown))}; allowed: the backbone's "
                f"{', '.join(map(repr, spec))}."
            )
        if len({spec[name][1] for name in levels}) != 1:
            raise ValueError(
                f"config.model.{section}.levels have {', '.join(f'{name}: {spec[name][1]}' for name in levels)} "
                "channels; allowed: the same on all."
            )
    strides = [spec[name][0] for name in config.roi.levels]
    if strides != [strides[0] * 2**i for i in range(len(strides))] or strides[0] & (strides[0] - 1):
        raise ValueError(
            f"config.model.roi.levels have strides {', '.join(map(str, strides))}; allowed: a power of two, and twice "
            "as many pixels from level to level."
        )


def _build(config, stages):
    _build_once(stages.backbone, (None, None, None, config.preprocess.channels))
    if stages.pyramid is not None:
        spec = stages.backbone.spec.items()
        _build_once(stages.pyramid, {name: (None, None, None, depth) for name, (_, depth) in spec})
    if stages.rpn_head is not None:
        _build_once(stages.rpn_head, (None, None, None, stages.spec[config.rpn.levels[0]][1]))
    for head in stages.roi_heads:
        shape = (None, head.pool_size, head.pool_size, stages.spec[config.roi.levels[0]][1])
        if stages.roi_body is not None:
            _build_once(stages.roi_body, shape)
            shape = stages.roi_body.compute_output_shape(shape)
        _build_once(head, shape)


def _freeze(config, stages):
    parts = dict(zip(("backbone", "pyramid", "rpn_head", "roi_body"), (stages[i] for i in (0, 1, 2, 4)), strict=True))
    parts = {name: part for name, part in parts.items() if part is not None}
    parts |= {head.name: head for head in stages.roi_heads if head.pool_size}
    if unknown := [name for name in config.frozen if name not in parts]:
        raise ValueError(
            f"config.model.frozen has {', '.join(map(repr, unknown))}; allowed: the model's parts, "
            f"{', '.join(map(repr, parts))}."
        )
    for name in config.frozen:  # once they are built: variables that are made later would train all the same
        parts[name].trainable = False


def _build_once(layer, shape):
    if not layer.built:
        layer.build(shape)
