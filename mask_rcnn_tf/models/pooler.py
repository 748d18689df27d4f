"""From RoIs to the maps that heads read: each pools from what a RoI operator prepared once of the features."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.config import RoiConfig
from mask_rcnn_tf.models.roi_rows import RoiRows
from mask_rcnn_tf.models.steps import Step, Tensors
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
      body: a layer from pooled RoIs to the maps that heads read, or None; see `Stages.roi_body`.
    """

    def __init__(
        self,
        roi: RoiConfig,
        spec: Mapping[str, tuple[int, int]],
        kernels: Kernels,
        operator: RoiOperator | None = None,
        body: keras.layers.Layer | None = None,
    ):
        self._roi, self.kernels, self.body = roi, kernels, body
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

    def network(self, step: Step, pooled: str) -> list[Step]:
        """The steps of a head's network, with the body before its own.

        Args:
          step: the head's; reads `pooled`, which stands for the maps of the body where there is one.
          pooled: name of the pooled features, one of the step's inputs.
        """
        if self.body is None:
            return [step]
        maps = pooled.replace("_pooled", "_maps")

        def run_body(tensors: Tensors) -> Tensors:
            return {maps: self.body(tensors[pooled])}

        def reading_maps(own: Step) -> Step:
            return own._replace(run=lambda tensors: own.run({**tensors, pooled: tensors[maps]}))

        delegated = None if step.delegated is None else reading_maps(step.delegated)
        body = Step(f"{step.name}_body", run_body, step.network, (pooled,), (maps,))
        return [body, reading_maps(step)._replace(delegated=delegated)]

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


class Pool:
    """Pools from the features of a training batch, for the heads' losses.

    Args:
      pooler: the model's.
      prepared: of `Pooler.prepare`.
      sampled: of `targets.sample_rois`.
      training: Python bool; whether trainable batch norms of the body use batch statistics.
    """

    def __init__(self, pooler: Pooler, prepared: Any, sampled: Mapping[str, tf.Tensor], training: bool):
        self._pooler, self._prepared, self._sampled, self._training = pooler, prepared, sampled, training
        self._maps = {}  # of all sampled RoIs, by the size they are pooled to

    def __call__(self, rois: tf.Tensor, valid: tf.Tensor, size: int) -> tuple[RoiRows, tf.Tensor]:
        """The rows of rois [B, R, 4], valid bool [B, R], and their maps float32 [n, side, side, c].

        Pooled to `size`; a body on RoIs runs on them.
        """
        rows = self._pooler.rows(valid)
        pooled = self._pooler.pool(self._prepared, rois, rows, size)
        if self._pooler.body is not None:
            pooled = self._pooler.body(pooled, training=self._training, valid=rows.counted)
        return rows, pooled

    def sampled(self, valid: tf.Tensor, size: int) -> tuple[RoiRows, tf.Tensor]:
        """The same of the first F sampled RoIs, valid bool [B, F]; where there is a body it has run once for all."""
        rois, usable = self._sampled["rois"], self._sampled["roi_valid"]
        if self._pooler.body is None:
            return self(rois[:, : valid.shape[1]], valid, size)
        if size not in self._maps:
            self._maps[size] = self(rois, usable, size)
        all_rows, maps = self._maps[size]
        if valid is usable:
            return all_rows, maps
        rows = self._pooler.rows(valid)
        places = all_rows.restore(tf.range(tf.shape(maps)[0]))[:, : valid.shape[1]]
        return rows, tf.gather(maps, rows.flatten(places))


def _log2(stride: int) -> int:
    return int(stride).bit_length() - 1
