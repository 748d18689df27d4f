"""Times the training step by phase, and the input pipeline."""

from collections.abc import Iterator, Mapping

import tensorflow as tf

from mask_rcnn_tf.benchmark import timing
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import pipeline
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.ops.kernels import get_kernels
from mask_rcnn_tf.training.schedule import make_optimizer


def benchmark_training(model: MaskRCNN, config: Config, batch: Mapping[str, tf.Tensor], runs: int) -> Iterator[dict]:
    """Times training steps on one batch; the model trains while it is timed.

    Args:
      model: `MaskRCNN`; with `kernels="xla"` every phase is compiled by XLA.
      config: `Config`, for its optimizer.
      batch: labelled dict, as `mask_rcnn_tf.data.pipeline` gives it.
      runs: timed runs of each phase, int.

    Yields:
      A dict for each phase, "forward", "forward_backward", "optimizer" and the whole, "step", with the figures of
      `timing.summary`. The last has images a second, peak memory, the losses, and the positive RoIs: they drive the
      time of the mask head.
    """
    model.compile(optimizer=make_optimizer(config, model))
    compiled = get_kernels(model.config.kernels).compiled
    variables = model.trainable_variables
    forward = tf.function(lambda step: model.compute_losses(batch, step, True), jit_compile=compiled, autograph=False)
    step = tf.zeros([], tf.int64)

    @tf.function(jit_compile=compiled, autograph=False)
    def forward_backward(step):
        with tf.GradientTape() as tape:
            loss = tf.add_n(list(model.compute_losses(batch, step, True).values()))
        return tape.gradient(loss, variables)

    positives = _positive_rois(model, batch)
    yield {"stage": "forward", **timing.summary(timing.measure(lambda: forward(step), runs)[0])}
    yield {"stage": "forward_backward", **timing.summary(timing.measure(lambda: forward_backward(step), runs)[0])}
    apply = tf.function(lambda values: model.optimizer.apply(values, variables), jit_compile=compiled, autograph=False)
    zeros = [tf.zeros_like(variable) for variable in variables]
    yield {"stage": "optimizer", **timing.summary(timing.measure(lambda: apply(zeros), runs)[0])}
    zeros.clear()
    train = tf.function(model.train_step, jit_compile=compiled, autograph=False)
    train(batch)
    timing.reset_peak_memory()
    seconds, losses = timing.measure(lambda: train(batch), runs)
    figures = timing.summary(seconds)
    yield {
        "stage": "step",
        **figures,
        "images_per_s": round(batch["image"].shape[0] / figures["median_s"], 3),
        **timing.peak_memory(),
        "positive_rois": positives,
        "losses": {name: round(float(value), 4) for name, value in losses.items()},
    }


def _positive_rois(model, batch):
    """Foreground RoIs of each image at step 0, list of int."""
    sampled = model.sample_rois(batch, tf.zeros([], tf.int64))
    return tf.reduce_sum(tf.cast(sampled["roi_classes"] > 0, tf.int32), 1).numpy().tolist()


def benchmark_loader(config: Config, runs: int) -> Iterator[dict]:
    """Times the batches of the training pipeline, with nobody else using the machine.

    Args:
      config: `Config`.
      runs: timed batches, int.

    Yields:
      One dict: "stage" ("batch"), the figures of `timing.summary`, images a second over all timed batches, and peak
      memory.
    """
    batches = iter(pipeline.train_dataset(config))
    next(batches)
    timing.reset_peak_memory()
    seconds, _ = timing.measure(lambda: next(batches), runs, warm_up=2)
    speed = {"images_per_s": round(config.train.batch_size * len(seconds) / sum(seconds), 2)}
    yield {"stage": "batch", **timing.summary(seconds), **speed, **timing.peak_memory()}
