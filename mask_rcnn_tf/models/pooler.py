"""From RoIs to pooled features: every head pools from what a RoI operator prepared once of the features."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from mask_rcnn_tf.config import RoiConfig
from mask_rcnn_tf.models.roi_rows import RoiRows
from mask_rcnn_tf.ops import roi_gather, roi_pool
from mask_rcnn_tf.ops.kernels import Kernels
from mask_rcnn_tf.ops.roi_regions import RoiAlignOptions, assign_levels


class RoiOperator(abc.ABC):
    """How features become those of RoIs. One of your own is registered with Keras to be saved with a model."""

    @abc.abstractmethod
    def prepare(self, features: list[tf.Tensor], strides: tuple[float, ...]) -> Any:
        """From levels [B, h, w, C], finest first, to any nest of tensors that `pool` reads; once an image."""

    @abc.abstractmethod
    def pool(
        self, prepared: Any, rois: tf.Tensor, batch_indices: tf.Tensor, level_indices: tf.Tensor, size: int
    ) -> tf.Tensor:
        """From rois float32 [n, 4] (network pixels), int32 [n] images and levels to float32 [n, size, size, C]."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, for Keras."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "RoiOperator":
        """The inverse of `get_config`."""
        return cls(**config)


class RoiAlign(RoiOperator):
    """RoIAlign (paper, section 3), or RoIWarp (section 4.1), in the form of a set of kernels.

    Args:
      roi: the configuration's section.
      strides: of the levels, pixels.
      kernels: `ops.kernels.Kernels`.
    """

    def __init__(self, roi: RoiConfig, strides: Sequence[float], kernels: Kernels):
        self._form = kernels.roi_align
        self._options = RoiAlignOptions(
            tuple(strides),
            roi.sampling_ratio,
            roi.aligned,
            roi.max_sampling,
            quantized=roi.operator == "warp",
            reduction=roi.reduction,
        )

    def prepare(self, features: list[tf.Tensor], strides: tuple[float, ...]) -> Any:
        """See `RoiOperator`."""
        return self._form.prepare(features)

    def pool(
        self, prepared: Any, rois: tf.Tensor, batch_indices: tf.Tensor, level_indices: tf.Tensor, size: int
    ) -> tf.Tensor:
        """See `RoiOperator`."""
        return self._form.pool(prepared, rois, batch_indices, level_indices, (size, size), self._options)


class RoiPool(RoiOperator):
    """RoIPool (Girshick, arXiv:1504.08083); the same form for every set of kernels."""

    def prepare(self, features: list[tf.Tensor], strides: tuple[float, ...]) -> Any:
        """See `RoiOperator`."""
        return roi_gather.prepare(features), strides

    def pool(
        self, prepared: Any, rois: tf.Tensor, batch_indices: tf.Tensor, level_indices: tf.Tensor, size: int
    ) -> tf.Tensor:
        """See `RoiOperator`."""
        pyramid, strides = prepared
        return roi_pool.pool(pyramid, rois, batch_indices, level_indices, (size, size), strides)


class Pooler:
    """Chooses the level of each RoI and pools from it.

    Args:
      roi: the configuration's section; `roi.levels` are names in `spec`.
      spec: {level: (stride, channels)} of the features.
      kernels: `ops.kernels.Kernels`.
      operator: None for the configuration's.
    """

    def __init__(
        self, roi: RoiConfig, spec: Mapping[str, tuple[int, int]], kernels: Kernels, operator: RoiOperator | None = None
    ):
        self._roi, self.kernels = roi, kernels
        self._strides = tuple(spec[name][0] for name in roi.levels)
        own = RoiPool() if roi.operator == "pool" else RoiAlign(roi, self._strides, kernels)
        self._operator = operator or own

    def prepare(self, features: Mapping[str, tf.Tensor]) -> Any:
        """From {level: [B, h, w, c]} to what `pool` reads."""
        return self._operator.prepare([features[name] for name in self._roi.levels], self._strides)

    def rows(self, valid: tf.Tensor) -> RoiRows:
        """`RoiRows` of valid bool [B, R]."""
        return RoiRows(valid, self.kernels.static)

    def pool(self, prepared: Any, rois: tf.Tensor, rows: RoiRows, size: int) -> tf.Tensor:
        """Pools rois [B, R, 4], each from the level that fits it -> float32 [n, size, size, c], a row for each row."""
        flat = rows.flatten(rois)
        return self._operator.pool(prepared, flat, rows.batch_indices, self._levels(flat), size)

    def _levels(self, rois):
        """Index of the level of each of rois [n, 4]: the FPN paper's rule between the strides that there are."""
        roi, lowest = self._roi, _log2(self._strides[0])
        highest = lowest + len(self._strides) - 1
        levels = assign_levels(
            rois,
            roi.canonical_size,
            roi.canonical_level,
            min_level=lowest,
            max_level=highest,
            rule=roi.level_rule,
        )
        return levels - lowest


def _log2(stride: int) -> int:
    return int(stride).bit_length() - 1
