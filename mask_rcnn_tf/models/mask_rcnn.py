"""Mask R-CNN with a feature pyramid, as one `keras.Model`."""

import copy

import keras
import tensorflow as tf

from mask_rcnn_tf import config as configuration
from mask_rcnn_tf.models import criterion
from mask_rcnn_tf.models import losses as loss_ops
from mask_rcnn_tf.models import targets as target_ops
from mask_rcnn_tf.models.box_head import select_detections
from mask_rcnn_tf.models.norms import FrozenBatchNorm
from mask_rcnn_tf.models.roi_rows import RoiRows
from mask_rcnn_tf.models.rpn import LEVELS, pyramid_anchors, select_proposals
from mask_rcnn_tf.models.stages import make_stages
from mask_rcnn_tf.ops import images as image_ops
from mask_rcnn_tf.ops.roi_align import assign_levels, roi_align

ROI_LEVELS = LEVELS[:4]  # P6 is for the RPN alone
ROI_STRIDES = (4, 8, 16, 32)


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class MaskRCNN(keras.Model):
    """Mask R-CNN (He et al., arXiv:1703.06870) with ResNet-FPN.

    `fit` and `evaluate` take datasets of dicts (see `mask_rcnn_tf.data.pipeline`); the losses are the model's own:
    `rpn_objectness`, `rpn_box`, `box_class`, `box_delta`, `mask`, and `loss`, their sum. `predict` takes the same dicts
    (detections in network pixels) or uint8 images [B, h, w, 3] (RGB; detections in their pixels).

    Args:
      config: a `ModelConfig`; it is copied.
      stages: layers of another model to share, of `MaskRCNN.with_kernels`.

    Raises:
      ValueError: the configuration does not validate.
    """

    def __init__(self, config, stages=None, **kwargs):
        # Boxes reach the model: bfloat16 would round 1001.3 to 1000. The layers inside get their dtype one by one.
        super().__init__(dtype="float32", autocast=False, **kwargs)
        if not isinstance(config, configuration.ModelConfig):
            raise ValueError(
                f"config is a {type(config).__name__}; allowed: a ModelConfig, e.g. load_config(...).model."
            )
        self._config = configuration.validate_model(copy.deepcopy(config))
        self.supports_jit = config.kernels == "xla"
        stages = stages or make_stages(self._config)
        self.backbone, self.pyramid, self.rpn_head, self.box_head = (
            stages[name] for name in ("backbone", "pyramid", "rpn_head", "box_head")
        )
        self.mask_head = stages.get("mask_head")
        names = ["loss", "rpn_objectness", "rpn_box", "box_class", "box_delta"] + ["mask"] * config.mask_head.enabled
        self._loss_means = [keras.metrics.Mean(name=name) for name in names]
        # An unbuilt subclassed model is saved without weights; everything is built now.
        self.built = True

    @property
    def config(self):
        """The `ModelConfig` this model was built from."""
        return self._config

    @property
    def metrics(self):
        """A running mean of each loss."""
        return list(self._loss_means)

    def get_config(self):
        """Keras's configuration."""
        return {"config": configuration.to_dict(self._config), "name": self.name}

    @classmethod
    def from_config(cls, config):
        """Rebuilds the model; refuses keys of the configuration that it does not know."""
        config = dict(config)
        values = config.pop("config")
        return cls(configuration.from_dict(configuration.ModelConfig, values, "config.model"), **config)

    def with_kernels(self, kernels):
        """The same layers and weights under the other kernels, "native" or "xla"."""
        config = copy.deepcopy(self._config)
        config.kernels = kernels
        stages = {name: getattr(self, name) for name in ("backbone", "pyramid", "rpn_head", "box_head", "mask_head")}
        return MaskRCNN(config, stages)

    # ------------------------------------------------------------------------------------------------ stages

    def extract_features(self, image, training=False):
        """[B, H, W, 3], normalised, sides multiples of 32 -> {"P2".."P6"}."""
        return self.pyramid(self.backbone(image, training=training), training=training)

    def propose(self, features, image, image_shape, training=False):
        """Runs the RPN.

        Args:
          features: {"P2".."P6"}.
          image: [B, H, W, 3], read for its size alone.
          image_shape: [B, 2], valid (h, w).
          training: chooses the numbers of proposals.

        Returns:
          proposals float32 [B, K, 4], counts int32 [B], and what the losses need: anchors [N, 4],
          objectness_logits [B, N], anchor_deltas [B, N, 4].
        """
        rpn, anchors = self._config.rpn, self._config.anchors
        logits, deltas = zip(*(self.rpn_head(features[name]) for name in LEVELS), strict=True)
        boxes = pyramid_anchors(
            features, tf.shape(image)[1:3], anchors.sizes, anchors.ratios, anchors.rounded, anchors.stride_rule
        )
        proposals, counts = select_proposals(
            logits,
            deltas,
            boxes,
            image_shape,
            rpn.pre_nms_top_n_train if training else rpn.pre_nms_top_n_test,
            rpn.post_nms_top_n_train if training else rpn.post_nms_top_n_test,
            rpn.nms_iou,
            rpn.min_size,
            rpn.ranking,
            self._config.kernels,
        )
        return proposals, counts, tf.concat(boxes, 0), tf.concat(logits, 1), tf.concat(deltas, 1)

    def pool(self, features, rois, rows, size):
        """RoIAlign of the rows of `rois` [B, R, 4] from the level that fits each -> float32 [n, size, size, c]."""
        roi = self._config.roi
        flat = rows.flatten(rois)
        levels = assign_levels(flat, roi.canonical_size, roi.canonical_level, 2, 5, roi.level_rule)
        return roi_align(
            [features[name] for name in ROI_LEVELS],
            ROI_STRIDES,
            flat,
            rows.batch_indices,
            levels - 2,
            size,
            roi.sampling_ratio,
            roi.aligned,
            self._config.kernels,
            roi.max_sampling,
        )

    def run_box_head(self, features, rois, valid, training=False):
        """class_logits float32 [B, R, C + 1], box_deltas float32 [B, R, C, 4] of rois [B, R, 4], valid bool [B, R]."""
        rows = RoiRows(valid, self._config.kernels)
        pooled = self.pool(features, rois, rows, self._config.box_head.pool_size)
        class_logits, box_deltas = self.box_head(pooled, training=training, valid=rows.counted)
        return rows.restore(class_logits), rows.restore(box_deltas)

    def detect(self, features, proposals, counts, image_shape):
        """Final detections of `proposals` [B, K, 4]; see `select_detections`, and `detection_masks` [B, D, M, M]."""
        detection, kernels = self._config.detection, self._config.kernels
        valid = tf.range(tf.shape(proposals)[1])[None] < counts[:, None]
        class_logits, box_deltas = self.run_box_head(features, proposals, valid)
        detections = select_detections(
            class_logits,
            box_deltas,
            proposals,
            counts,
            image_shape,
            self._config.box_head.delta_weights,
            detection.score_threshold,
            detection.nms_iou,
            detection.max_detections,
            detection.min_size,
            kernels,
            detection.max_candidates,
        )
        if self.mask_head is not None:
            rois = detections["detection_boxes"]
            rows = RoiRows(tf.range(detection.max_detections)[None] < detections["num_detections"][:, None], kernels)
            pooled = self.pool(features, rois, rows, self._config.mask_head.pool_size)
            logits = self.mask_head(pooled, rows.flatten(detections["detection_classes"]), valid=rows.counted)
            masks = rows.restore(tf.sigmoid(logits))
            detections["detection_masks"] = tf.where(rois[..., 3:, None] > rois[..., 1:2, None], masks, 0.0)
        return detections

    # ------------------------------------------------------------------------------------------- inference

    def call(self, inputs, training=False):
        """Detections.

        Args:
          inputs: uint8 [B, h, w, 3], RGB; or a dict with `image` float32 [B, H, W, 3] (normalised, padded, sides
            multiples of 32) and `image_shape` int32 [B, 2].
          training: must be False; `fit` trains.

        Returns:
          `detection_boxes` float32 [B, D, 4], `detection_scores` float32 [B, D], `detection_classes` int32 [B, D],
          `num_detections` int32 [B], `detection_masks` float32 [B, D, M, M] (probabilities in the frame of the box).
          Boxes in pixels of the given image (uint8) or of the network input (dict).

        Raises:
          ValueError: the images are neither.
        """
        if isinstance(inputs, dict):
            return self._call_prepared(inputs["image"], inputs["image_shape"])
        if inputs.dtype != tf.uint8 or inputs.shape.rank != 4:
            raise ValueError(
                f"images are {inputs.dtype} of shape {inputs.shape}; allowed: uint8 [B, h, w, 3], or a dict with "
                "`image` and `image_shape`."
            )
        image, image_shape = self.preprocess(inputs)
        original_shape = tf.broadcast_to(tf.shape(inputs)[1:3], tf.shape(image_shape))
        detections = self._call_prepared(image, image_shape)
        boxes = image_ops.boxes_to_original(detections["detection_boxes"], image_shape, original_shape)
        return {**detections, "detection_boxes": boxes}

    def preprocess(self, images):
        """Resizes, normalises and pads uint8 [B, h, w, 3] -> image float32 [B, H, W, 3], image_shape int32 [B, 2]."""
        preprocess = self._config.preprocess
        shape = image_ops.resized_shape(
            tf.shape(images)[1:3], preprocess.short_side, preprocess.max_side, preprocess.size_rounding
        )
        image = image_ops.resize(images, shape, preprocess.antialias, preprocess.round_resized, self._config.kernels)
        image = image_ops.normalize(
            image, preprocess.channel_order, preprocess.pixel_scale, preprocess.mean, preprocess.std
        )
        canvas = image_ops.canvas_shape(shape, preprocess.size_divisor)
        image = image_ops.pad_to(image, canvas[0], canvas[1])
        return image, tf.broadcast_to(shape, [tf.shape(images)[0], 2])

    def _call_prepared(self, image, image_shape):
        features = self.extract_features(image)
        proposals, counts, *_ = self.propose(features, image, image_shape)
        return self.detect(features, proposals, counts, image_shape)

    def predict_step(self, data):
        """Keras's hook: detections of one batch; labels are ignored, so that labelled datasets can be given."""
        return self(_unpack(data), training=False)

    # -------------------------------------------------------------------------------------------- training

    def compute_losses(self, batch, step, training):
        """Each loss of this replica's part of the batch; the sum over replicas is the loss of the whole batch.

        Args:
          batch: dict with `image`, `image_shape`, `image_id`, `gt_boxes`, `gt_classes`, `gt_masks` (with a mask head).
          step: int64 [], of the sampling seeds.
          training: whether trainable batch norms use batch statistics.

        Returns:
          {name: float32 []}.
        """
        criterion.check_labelled(batch, self.mask_head is not None)
        features = self.extract_features(batch["image"], training)
        proposals, counts, anchors, logits, deltas = self.propose(features, batch["image"], batch["image_shape"], True)
        sums = criterion.rpn_loss_sums(self._config, batch, step, anchors, logits, deltas)
        sums.update(self._roi_sums(batch, step, features, proposals, counts, training))
        return criterion.normalize(sums)

    def _roi_sums(self, batch, step, features, proposals, counts, training):
        roi, config = self._config.roi, self._config
        sampled = target_ops.sample_rois(
            proposals,
            counts,
            batch["gt_boxes"],
            batch["gt_classes"],
            target_ops.image_seeds(config.seed, step, batch["image_id"], 1),
            roi.samples,
            roi.positive_fraction,
            roi.positive_iou,
            config.box_head.delta_weights,
            config.sampler,
        )
        classes = sampled["roi_classes"]
        class_logits, box_deltas = self.run_box_head(features, sampled["rois"], sampled["roi_valid"], training)
        class_sum, count = loss_ops.class_loss(class_logits, classes, sampled["roi_valid"])
        deltas = loss_ops.class_deltas(box_deltas, classes)
        box_sum, _ = loss_ops.delta_loss(deltas, sampled["roi_delta_targets"], classes > 0, config.box_head.loss_beta)
        sums = {"box_class": (class_sum, count), "box_delta": (box_sum, count)}
        if self.mask_head is not None:
            sums["mask"] = self._mask_sums(batch, features, sampled, training)
        return sums

    def _mask_sums(self, batch, features, sampled, training):
        config = self._config
        foreground = int(config.roi.samples * config.roi.positive_fraction)  # positives come first
        rois, classes, gt_indices = (
            sampled[name][:, :foreground] for name in ("rois", "roi_classes", "roi_gt_indices")
        )
        rows = RoiRows(classes > 0, config.kernels)
        size = config.mask_head.pool_size
        pooled = self.pool(features, rois, rows, size)
        logits = self.mask_head(pooled, rows.flatten(classes), training=training, valid=rows.counted)
        targets = target_ops.mask_targets(
            rows,
            rois,
            gt_indices,
            batch["gt_boxes"],
            batch["gt_masks"],
            2 * size,
            config.mask_head.mask_frame,
            config.kernels,
        )
        return loss_ops.mask_loss(logits, targets, rows.counted)

    def make_train_function(self, force=False):
        """Keras's hook before training; refuses frozen norms without pretrained statistics, and bfloat16 weights."""
        if self._config.dtype == "bfloat16":
            raise ValueError(
                "config.model.dtype is 'bfloat16', which is for inference: small updates vanish in such weights. "
                "Allowed in training: 'float32', 'mixed_bfloat16', 'auto'."
            )
        frozen = [layer for layer in self._flatten_layers() if isinstance(layer, FrozenBatchNorm)]
        if frozen and all(layer.is_identity() for layer in frozen):
            raise ValueError(
                "config.model.backbone.norm is 'frozen_batch_norm' and no pretrained weights were loaded: a frozen "
                "norm over random weights cannot learn. Load weights first (config.train.init_from), or choose "
                "'batch_norm', 'sync_batch_norm' or 'group_norm'."
            )
        return super().make_train_function(force)

    def train_step(self, data):
        """Keras's hook: one optimizer step."""
        with tf.GradientTape() as tape:
            losses = self.compute_losses(_unpack(data), tf.cast(self.optimizer.iterations, tf.int64), True)
            total = self.optimizer.scale_loss(tf.add_n(list(losses.values())))
        variables = self.trainable_variables
        # Keras asks a dataset of unknown length for one batch too many; without the dependency the optimizer's step
        # counter, which needs no data, is increased before that call fails (tried with Keras 3.15).
        with tf.control_dependencies([total]):
            self.optimizer.apply(tape.gradient(total, variables), variables)
        return self._track(losses)

    def test_step(self, data):
        """Keras's hook: the losses of one batch, with inference norms and the samples of step 0."""
        return self._track(self.compute_losses(_unpack(data), tf.zeros([], tf.int64), False))

    def _track(self, losses):
        # A replica holds its share of the loss, and Keras averages metrics over replicas.
        replicas = float(tf.distribute.get_strategy().num_replicas_in_sync)
        losses = {"loss": tf.add_n(list(losses.values())), **losses}
        for metric in self._loss_means:
            metric.update_state(losses[metric.name] * replicas)
        return {metric.name: metric.result() for metric in self._loss_means}


def _unpack(data):
    return data[0] if isinstance(data, tuple) else data
