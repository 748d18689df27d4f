"""Trains tiny models for three steps and stores their weights; a process of its own for each number of replicas.

    python tests/training/replica_steps.py REPLICAS OUTPUT.npz CASE...

Several `tf.distribute` strategies in one process abort in collectives.
"""

import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import tiny_config

from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.models.norms import FrozenBatchNorm
from mask_rcnn_tf.models.sublayers import sublayers
from mask_rcnn_tf.training.schedule import make_optimizer
from mask_rcnn_tf.training.strategy import make_strategy

BATCH, STEPS, MAX_GT = 4, 3, 6
COUNTS = ((1, 1, 6, 5), (0, 2, 1, 0), (6, 6, 0, 0))  # gt of each image: very different numbers of positives a replica
CASES = {
    "frozen": ("frozen_batch_norm", "none", 0.0),
    "frozen_clipped": ("frozen_batch_norm", "none", 0.5),
    "frozen_averaged": ("frozen_batch_norm", "none", 0.0),
    "frozen_adam": ("frozen_batch_norm", "none", 0.0),
    "frozen_accumulated": ("frozen_batch_norm", "none", 0.5),  # each replica's images one by one
    "sync": ("sync_batch_norm", "sync_batch_norm", 0.0),
    "sync_clipped": ("sync_batch_norm", "sync_batch_norm", 0.5),
}


def batch(step):
    rng = np.random.default_rng(step)
    corners = rng.uniform(0, 30, (BATCH, MAX_GT, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(12, 34, corners.shape)], -1)
    present = np.arange(MAX_GT) < np.array(COUNTS[step])[:, None]
    return {
        "image": rng.normal(0, 1, (BATCH, 64, 64, 3)).astype(np.float32),
        "image_shape": np.full((BATCH, 2), 64, np.int32),
        "original_shape": np.full((BATCH, 2), 64, np.int32),
        "image_id": np.arange(BATCH) + 10 * step,
        "gt_boxes": np.where(present[..., None], boxes, 0).astype(np.float32),
        "gt_classes": np.where(present, rng.integers(1, 4, present.shape), 0).astype(np.int32),
        "gt_masks": (rng.uniform(size=(BATCH, MAX_GT, 28, 28)) > 0.3).astype(np.uint8) * 255,
    }


def configured(backbone_norm, head_norm, clip_norm):
    config = tiny_config.get_config()
    config.model.num_classes = 3
    config.model.backbone.norm = backbone_norm
    config.model.fpn.norm = config.model.box_head.norm = config.model.mask_head.norm = head_norm
    config.model.box_head.num_convs, config.model.box_head.conv_channels = 1, 8
    # Two proposals of nearly the same score change places from run to run, on one replica already (measured), and what
    # is kept and sampled with them. Fewer lie less near to each other, and more RoIs than proposals leave no choice.
    # The RPN's anchors are still sampled.
    config.model.rpn.pre_nms_top_n_train, config.model.roi.samples = 8, 64
    config.train.clip_norm, config.train.warmup_steps, config.train.learning_rate = clip_norm, 0, 0.005
    return config.validate()


def fill_frozen_norms(model):
    rng = np.random.default_rng(0)
    for _, layer in sublayers(model):
        if isinstance(layer, FrozenBatchNorm):
            for variable in layer.weights:
                variable.assign(rng.uniform(0.5, 1.5, variable.shape))


def trained(config, strategy):
    """Weights before and after three steps, and the losses."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = MaskRCNN(config.model)
        fill_frozen_norms(model)
        model.accumulation_steps = config.train.accumulation_steps
        model.compile(optimizer=make_optimizer(config, model), jit_compile=False)
        if config.train.optimizer == "adam":
            model.optimizer.epsilon = 0.1  # or the sign alone counts, of gradients that are rounding errors as well
    before = [variable.numpy() for variable in model.weights]
    batches = [batch(step) for step in range(STEPS)]
    stacked = {name: np.stack([item[name] for item in batches]) for name in batches[0]}
    dataset = tf.data.Dataset.from_tensor_slices(stacked).unbatch().batch(BATCH, drop_remainder=True)
    history = model.fit(dataset, verbose=0)
    return before, [variable.numpy() for variable in model.weights], history.history


def main(replicas, output, names):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
    strategy = make_strategy()
    assert strategy.num_replicas_in_sync == replicas
    arrays = {}
    for name in names:
        config = configured(*CASES[name])
        config.train.ema_momentum = 0.5 if name.endswith("_averaged") else 0.0  # `fit` ends with the averages
        config.train.accumulation_steps = BATCH // replicas if name.endswith("_accumulated") else 1
        config.train.optimizer = "adam" if name.endswith("_adam") else "torch_sgd"
        before, after, losses = trained(config, strategy)
        arrays |= {f"{name}/before/{i}": value for i, value in enumerate(before)}
        arrays |= {f"{name}/after/{i}": value for i, value in enumerate(after)}
        arrays |= {f"{name}/losses/{key}": np.array(value) for key, value in losses.items()}
    np.savez(output, **arrays)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
