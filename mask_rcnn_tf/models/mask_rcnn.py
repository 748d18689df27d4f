"""Mask R-CNN as one `keras.Model`: what `fit`, `predict`, `save` and `export` need, around the parts."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf import config as configuration
from mask_rcnn_tf.arguments import check_kind
from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.models import criterion, inference
from mask_rcnn_tf.models import targets as target_ops
from mask_rcnn_tf.models.accumulation import losses_and_gradients
from mask_rcnn_tf.models.dtypes import resolve_dtype
from mask_rcnn_tf.models.heads.base import LossSums, RoiHead
from mask_rcnn_tf.models.pooler import Pool, Pooler, RoiOperator
from mask_rcnn_tf.models.preprocessing import network_input
from mask_rcnn_tf.models.rpn import run_levels, select_proposals
from mask_rcnn_tf.models.stages import HEADS, Stages, make_stages
from mask_rcnn_tf.models.steps import Step, Tensors, run_steps
from mask_rcnn_tf.models.sublayers import sublayers
from mask_rcnn_tf.models.untuned_model import UntunedModel
from mask_rcnn_tf.ops import images as image_ops
from mask_rcnn_tf.ops.kernels import get_kernels


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class MaskRCNN(UntunedModel):
    """Mask R-CNN (He et al., arXiv:1703.06870).

    `fit` and `evaluate` take datasets of dicts (see `mask_rcnn_tf.data.pipeline`); the losses are the model's own:
    `rpn_objectness`, `rpn_box`, those of the heads (`box_class`, `box_delta`, of a cascade `box_class_1`, ...; `mask`,
    `keypoint`), and `loss`, their sum. `fit` computes a batch in `accumulation_steps` parts (an attribute, 1 unless set
    and not saved, see `TrainConfig`). `predict` takes the same dicts (detections in network pixels) or uint8 images
    [B, h, w, 3] (RGB; detections in their pixels).

    Parts of your own take the place of the configuration's. They are saved with the model, so their classes are
    registered with `keras.saving.register_keras_serializable`.

    Args:
      config: a `ModelConfig`; it is copied.
      stages: layers of another model to share, of `MaskRCNN.with_kernels`.
      backbone: a Keras layer in the place of ResNet-FPN, see `Stages`; `rpn.levels` and `roi.levels` name its levels.
      heads: all heads, see `RoiHead`; `make_heads(config)` gives those of the configuration.
      roi_operator: a `RoiOperator` in the place of RoIAlign.

    Raises:
      ValueError: an argument is of another kind, the configuration does not validate, or the parts do not fit it.
    """

    # Set by the package's face: exporters build on models, so models cannot import them.
    exporters: dict[str, Callable] = {}

    def __init__(
        self,
        config: ModelConfig,
        stages: Stages | None = None,
        *,
        backbone: keras.layers.Layer | None = None,
        heads: Sequence[RoiHead] | None = None,
        roi_operator: RoiOperator | None = None,
        **kwargs: Any,
    ):
        # Boxes reach the model: bfloat16 would round 1001.3 to 1000. The layers inside get their dtype one by one.
        super().__init__(dtype="float32", autocast=False, **kwargs)
        check_kind("config", config, ModelConfig, "a ModelConfig, e.g. load_config(...).model")
        check_kind("stages", stages, (Stages, type(None)), "Stages, or None")
        check_kind("roi_operator", roi_operator, (RoiOperator, type(None)), "a RoiOperator, or None")
        self._config = configuration.validate_model(copy.deepcopy(config))
        kernels = get_kernels(config.kernels)
        self.supports_jit = kernels.compiled
        stages = stages or make_stages(self._config, backbone, heads)
        self._own = {"backbone": backbone is not None, "heads": heads is not None}
        self._operator = roi_operator
        self.accumulation_steps = 1
        self.backbone, self.pyramid, self.rpn_head, _, self.roi_body = stages
        for name in HEADS:
            setattr(self, name, None)
        for head in stages.roi_heads:
            setattr(self, head.name, head)  # one attribute each: the names under which `.keras` files hold weights
        self.roi_heads = stages.roi_heads
        self._pooler = Pooler(self._config.roi, stages.spec, kernels, roi_operator, self.roi_body)
        self._loss_means = [keras.metrics.Mean(name=name) for name in ("loss", *stages.loss_names)]
        # An unbuilt subclassed model is saved without weights; everything is built now.
        self.built = True

    @property
    def config(self) -> ModelConfig:
        """The `ModelConfig` this model was built from."""
        return self._config

    @property
    def stages(self) -> Stages:
        """The layers."""
        return Stages(self.backbone, self.pyramid, self.rpn_head, tuple(self.roi_heads), self.roi_body)

    @property
    def pooler(self) -> Pooler:
        """What the heads pool with."""
        return self._pooler

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """A running mean of each loss."""
        return list(self._loss_means)

    # ------------------------------------------------------------------------------------------------ copies

    def get_config(self) -> dict[str, Any]:
        """Keras's configuration."""
        serialize = keras.saving.serialize_keras_object
        values = {"config": configuration.to_dict(self._config), "name": self.name}
        if self._own["backbone"]:
            values["backbone"] = serialize(self.backbone)
        if self._own["heads"]:
            values["heads"] = [serialize(head) for head in self.roi_heads]
        if self._operator is not None:
            values["roi_operator"] = serialize(self._operator)
        return values | {"not_trainable": [path for path, layer in sublayers(self) if not layer.trainable]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MaskRCNN":
        """Rebuilds the model; refuses keys of the configuration that it does not know."""
        config = dict(config)
        values, not_trainable = config.pop("config"), config.pop("not_trainable", None)
        for name in ("backbone", "heads", "roi_operator"):
            if name in config:
                config[name] = _deserialize(config[name])
        model = cls(configuration.from_dict(ModelConfig, values, "config.model"), **config)
        if not_trainable is not None:  # files of older versions have the configuration's frozen stages alone
            for path, layer in sublayers(model):
                layer.trainable = path not in not_trainable
        return model

    def with_kernels(self, kernels: str) -> "MaskRCNN":
        """The same layers and weights under another set of kernels (`ops.kernels`)."""
        config = copy.deepcopy(self._config)
        config.kernels = kernels
        own = {"backbone": self.backbone, "heads": self.roi_heads}
        own = {name: part for name, part in own.items() if self._own[name]}
        return MaskRCNN(config, self.stages, roi_operator=self._operator, **own)

    def copied(self, config: ModelConfig) -> "MaskRCNN":
        """A model of its own with the same kinds of parts, under another configuration, with initial weights.

        Parts that are not of the configuration compute in `config.dtype` too, and come with their weights.
        """
        values = self.get_config() | {"config": configuration.to_dict(config)}
        del values["not_trainable"]
        dtype = resolve_dtype(config.dtype)
        for part in (values.get("backbone"), *values.get("heads", ())):
            if part is not None:
                part["config"]["dtype"] = dtype
        model = MaskRCNN.from_config(values)
        for ours, theirs in zip(self.own_parts(), model.own_parts(), strict=True):
            for mine, copy_of_mine in zip(ours.weights, theirs.weights, strict=True):
                copy_of_mine.assign(tf.cast(mine, copy_of_mine.dtype))
        return model

    def own_parts(self) -> list[keras.layers.Layer]:
        """The layers that were given in the place of the configuration's."""
        return [self.backbone] * self._own["backbone"] + list(self.roi_heads) * self._own["heads"]

    def export(self, filepath: str, format: str = "tf_saved_model", **options: Any):
        """Writes the model for serving, as `mask_rcnn_tf.export` does, once it was seen to find the same.

        Args:
          filepath: what is to be.
          format: "tf_saved_model" (Keras's default), "onnx" or "tflite".
          options: of the exporter, such as `images` to compare detections on; see `mask_rcnn_tf.export`.

        Raises:
          ValueError: another format, or as the exporters say.
        """
        if format not in self.exporters:
            raise ValueError(f"format is {format!r}; allowed: {', '.join(map(repr, self.exporters))}.")
        self.exporters[format](self, filepath, **options)

    # --------------------------------------------------------------------------------------------- inference

    def steps(self) -> list[Step]:
        """What inference is made of, see `inference.inference_steps`."""
        return inference.inference_steps(self._config, self.stages, self._pooler)

    def call(self, inputs: tf.Tensor | Mapping[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        """Detections.

        Args:
          inputs: uint8 [B, h, w, 3], RGB; or a dict with `image` float32 [B, H, W, 3] (normalised, padded, sides
            multiples of `size_divisor`) and `image_shape` int32 [B, 2]; without an RPN `proposals` and `num_proposals`.
          training: must be False; `fit` trains.

        Returns:
          The outputs of the heads: `detection_boxes` float32 [B, D, 4], `detection_scores` float32 [B, D],
          `detection_classes` int32 [B, D], `num_detections` int32 [B], `detection_masks` float32 [B, D, M, M]
          (probabilities in the frame of the box), `detection_keypoints` float32 [B, D, J, 3] (x, y, score). Boxes and
          keypoints in pixels of the given image (uint8) or of the network input (dict).

        Raises:
          ValueError: the images are neither, or proposals are missing.
        """
        if isinstance(inputs, dict):
            return self.detect(inputs["image"], inputs["image_shape"], given=inputs)
        kind = self._config.preprocess.pixels
        if inputs.dtype != kind.dtype or inputs.shape.rank != 4 or inputs.shape[3] not in (kind.channels, None):
            came, allowed = f"{inputs.dtype} of shape {inputs.shape}", f"{kind.dtype} [B, h, w, {kind.channels}]"
            raise ValueError(f"images are {came}; allowed: {allowed}, or a dict with `image` and `image_shape`.")
        image, image_shape = self.preprocess(inputs)
        original_shape = tf.broadcast_to(tf.shape(inputs)[1:3], tf.shape(image_shape))
        return self.to_original(self.detect(image, image_shape), image_shape, original_shape)

    def preprocess(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Resizes, normalises and pads uint8 [B, h, w, 3] -> image float32 [B, H, W, 3], image_shape int32 [B, 2]."""
        return network_input(images, self._config.preprocess, self._pooler.kernels)

    def extract_features(self, image: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """[B, H, W, 3], normalised, sides multiples of `size_divisor` -> {level: [B, h, w, c]}."""
        return inference.extract_features(self.stages, image, training)

    def detect(
        self,
        image: tf.Tensor,
        image_shape: tf.Tensor,
        steps: Sequence[Step] | None = None,
        given: Mapping[str, tf.Tensor] | None = None,
    ) -> dict[str, tf.Tensor]:
        """Outputs of the heads in network pixels.

        Args:
          image: float32 [B, H, W, 3], normalised, padded, sides multiples of `size_divisor`.
          image_shape: int32 [B, 2], valid (h, w).
          steps: `self.steps()` with other networks (`steps.with_networks`), or None.
          given: of a model without an RPN: `proposals` float32 [B, K, 4], network pixels, `num_proposals` int32 [B].
        """
        found = self.trace(image, image_shape, steps, given)
        return {name: found[name] for name in inference.output_names(self._config, self.stages)}

    def trace(
        self,
        image: tf.Tensor,
        image_shape: tf.Tensor,
        steps: Sequence[Step] | None = None,
        given: Mapping[str, tf.Tensor] | None = None,
    ) -> Tensors:
        """`detect` with everything that stands between image and outputs, see `inference.inference_steps`."""
        tensors = {"normalized": image, "image_shape": image_shape}
        if self.rpn_head is None:
            tensors |= dict(zip(criterion.PROPOSALS, criterion.given_proposals(given), strict=True))
        return run_steps(steps or self.steps(), tensors)

    def to_original(
        self, outputs: dict[str, tf.Tensor], image_shape: tf.Tensor, original_shape: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The outputs with boxes and keypoints moved from network pixels to those of the images before resizing.

        Args:
          outputs: of `detect`.
          image_shape: int32 [B, 2], (h, w) in the network input.
          original_shape: int32 [B, 2], (h, w) before.
        """
        return image_ops.outputs_to_original(outputs, image_shape, original_shape)

    def predict_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Keras's hook: detections of one batch; labels are ignored, so that labelled datasets can be given."""
        return self(criterion.batch_of(data), training=False)

    # -------------------------------------------------------------------------------------------- training

    def compute_losses(self, batch: Mapping[str, tf.Tensor], step: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Each loss of this replica's part of the batch; the sum over replicas is the loss of the whole batch.

        Args:
          batch: dict with `image`, `image_shape`, `image_id`, `gt_boxes`, `gt_classes`, and what the heads need.
          step: int64 [], of the sampling seeds.
          training: whether trainable batch norms use batch statistics.

        Returns:
          {name: float32 []}.
        """
        return criterion.normalize(self.loss_sums(batch, step, training))

    def loss_sums(self, batch: Mapping[str, tf.Tensor], step: tf.Tensor, training: bool) -> LossSums:
        """As `compute_losses`, before each sum of this replica is divided by its count: {name: (sum, count)}."""
        criterion.check_labelled(batch, self.roi_heads, self.rpn_head is not None)
        features = self.extract_features(batch["image"], training)
        levels = self._rpn_levels(features, batch["image"], training)
        sums = criterion.rpn_loss_sums(self._config, batch, step, levels) if levels else {}
        if any(head.loss_names for head in self.roi_heads):
            sampled = self._sample_rois(batch, step, levels)
            pool = Pool(self._pooler, self._pooler.prepare(features), sampled, training)
            for head in self.roi_heads:
                sums.update(head.loss_sums(batch, sampled, pool, self._config, training))
        return sums

    def sample_rois(self, batch: Mapping[str, tf.Tensor], step: tf.Tensor) -> dict[str, tf.Tensor]:
        """The RoIs that the heads train on in a step, see `targets.sample_rois`; arguments as in `compute_losses`."""
        features = self.extract_features(batch["image"])
        return self._sample_rois(batch, step, self._rpn_levels(features, batch["image"]))

    def _rpn_levels(self, features, image, training=False):
        """(objectness_logits, anchor_deltas, anchors) of each level of the RPN; none without one."""
        if self.rpn_head is None:
            return []
        anchors = inference.anchors_of(self._config, self.stages, image)
        outputs = run_levels(self.rpn_head, [features[name] for name in self._config.rpn.levels], training)
        return [(*output, boxes) for output, boxes in zip(outputs, anchors, strict=True)]

    def _sample_rois(self, batch, step, levels):
        config, shape = self._config, batch["image_shape"]
        settings = shape, config.rpn, self._pooler.kernels, True
        found = select_proposals(levels, *settings) if levels else criterion.given_proposals(batch)
        seeds = target_ops.image_seeds(config.seed, step, batch["image_id"], 1)
        return target_ops.sample_rois(*found, batch, seeds, config.roi, config.sampler)

    def make_train_function(self, force: bool = False) -> Callable:
        """Keras's hook before training; refuses frozen norms without pretrained statistics, and bfloat16 weights."""
        criterion.check_trainable(self._config, (layer for _, layer in sublayers(self)))
        if not self.optimizer.built:  # variables that a step makes have it traced twice, with a branch for each
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Keras's hook: one optimizer step, of a batch computed in `accumulation_steps` parts."""
        variables, step = self.trainable_variables, tf.cast(self.optimizer.iterations, tf.int64)
        losses, gradients = losses_and_gradients(self, criterion.batch_of(data), step, variables)
        # Keras asks a dataset of unknown length for one batch too many; without the dependency the optimizer's step
        # counter, which needs no data, is increased before that call fails (tried with Keras 3.15).
        with tf.control_dependencies(list(losses.values())):
            self.optimizer.apply(gradients, variables)
        return self._track(losses)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Keras's hook: the losses of one batch, with inference norms and the samples of step 0."""
        return self._track(self.compute_losses(criterion.batch_of(data), tf.zeros([], tf.int64), False))

    def _track(self, losses):
        # A replica holds its share of the loss, and Keras averages metrics over replicas.
        replicas = float(tf.distribute.get_strategy().num_replicas_in_sync)
        losses = {"loss": tf.add_n(list(losses.values())), **losses}
        for metric in self._loss_means:
            metric.update_state(losses[metric.name] * replicas)
        return {metric.name: metric.result() for metric in self._loss_means}


def _deserialize(value):
    one = keras.saving.deserialize_keras_object
    return [_deserialize(item) for item in value] if isinstance(value, list) else one(value)
