"""What the model asks of a head."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.models.pooler import Pool, Pooler
from mask_rcnn_tf.models.steps import Step

LossSums = dict[str, tuple[tf.Tensor, tf.Tensor]]  # {name: (sum, count)}, float32 scalars of this replica


class RoiHead(keras.layers.Layer):
    """A head on RoIs. The model loops over a list of them, and derives from it losses, outputs, exports and stages.

    The first head that detects writes `detection_boxes`, `detection_scores`, `detection_classes` and
    `num_detections`; those after it say more about these detections.

    Attributes:
      pool_size: side of the pooled features that it asks for, [n, pool_size, pool_size, c]. Where the model has a body
        on RoIs, the head is built for the body's maps of them. 0: it reads no features and has no layers.
      loss_names: of its losses, in the order of the log.
      needs: what it reads of a labelled batch beyond boxes and classes: {key: what to do where it is missing}.
      averaged: the tensor of its steps that test-time augmentation averages, from which its outputs follow; "" where
        there is none. The steps before it read the detections, `roi_features` and `image_shape` alone.
      class_variables: names of its own weights and sub-layers that have one part a class: what they learnt is of no
        use under other classes.
    """

    pool_size: int = 7
    loss_names: tuple[str, ...] = ()
    needs: Mapping[str, str] = {}
    class_variables: tuple[str, ...] = ()
    averaged: str = ""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_jit = True

    def class_paths(self) -> set[str]:
        """Paths of the variables with one part a class."""
        names = [f"{self.name}/{name}" for name in self.class_variables]
        paths = (weight.path for weight in self.weights)
        return {path for path in paths if any(path == name or path.startswith(f"{name}/") for name in names)}

    def put_channels_first(self):
        """Has it compute as runtimes with channels first like it, where it turns maps around; for a copy to export."""

    def loss_sums(
        self,
        batch: Mapping[str, tf.Tensor],
        sampled: Mapping[str, tf.Tensor],
        pool: Pool,
        config: ModelConfig,
        training: bool,
    ) -> LossSums:
        """Sums and counts of its losses.

        Args:
          batch: labelled batch, see `criterion.check_labelled`.
          sampled: of `targets.sample_rois`.
          pool: pools from the features of this batch.
          config: the model's.
          training: Python bool; whether trainable batch norms use batch statistics.

        Returns:
          {name of `loss_names`: (sum, count)}, float32 scalars of this replica; the model divides.
        """
        return {}

    def steps(self, config: ModelConfig, pooler: Pooler) -> list[Step]:
        """Inference: what the head does with the tensors that the steps before it left.

        Args:
          config: the model's.
          pooler: reads `tensors["roi_features"]`.
        """
        return []

    def unmirrored(self, value: tf.Tensor, config: ModelConfig) -> tf.Tensor:
        """What a `value` of `averaged`, found in the image with left and right exchanged, is in the image itself."""
        return value

    def output_specs(self, config: ModelConfig) -> dict[str, tf.TensorSpec]:
        """Which tensors of its steps are outputs of the model: {name: spec without the batch}."""
        return {}
