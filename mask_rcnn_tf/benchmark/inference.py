"""Times inference, stage by stage and as a whole."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.benchmark import timing
from mask_rcnn_tf.config import DetectionConfig
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.models.steps import Step, Tensors
from mask_rcnn_tf.ops import images as image_ops
from mask_rcnn_tf.ops.kernels import get_kernels
from mask_rcnn_tf.ops.masks import paste_bitmap

PREPROCESS = "preprocess"
WORK = ("num_proposals", "num_detections")


def stages(model: MaskRCNN) -> list[Step]:
    """Every step of `MaskRCNN.call` on `images` uint8 [B, h, w, 3], in order."""

    def preprocess(tensors: Tensors) -> Tensors:
        return dict(zip(("normalized", "image_shape"), model.preprocess(tensors["images"]), strict=True))

    return [Step(PREPROCESS, preprocess), *model.steps()]


def paste_all(
    detections: Tensors, image_shapes: tf.Tensor, original_shape: tuple[int, int], config: DetectionConfig
) -> list[np.ndarray]:
    """Pastes every mask of a batch into an image of its own.

    Args:
      detections: dict of `MaskRCNN.call`, boxes in network pixels.
      image_shapes: int [B, 2], valid (h, w).
      original_shape: (h, w), pixels of the images.
      config: `DetectionConfig`.

    Returns:
      A list of uint8 [num_detections, h, w], an image each.
    """
    originals = tf.broadcast_to(tf.constant(original_shape, tf.int32), tf.shape(image_shapes))
    boxes = image_ops.boxes_to_original(detections["detection_boxes"], image_shapes, originals).numpy()
    masks, pasted = detections["detection_masks"].numpy(), []
    for index, count in enumerate(detections["num_detections"].numpy()):
        canvas = np.zeros((count, *original_shape), np.uint8)
        for mask, probabilities, box in zip(canvas, masks[index, :count], boxes[index], strict=False):
            crop, (top, left) = paste_bitmap(probabilities, box, original_shape, config.mask_threshold, config.paste)
            mask[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
        pasted.append(canvas)
    return pasted


def benchmark_inference(model: MaskRCNN, images: np.ndarray, runs: int) -> Iterator[dict]:
    """Times a model on a batch.

    Args:
      model: `MaskRCNN`; with `kernels="xla"` all but preprocessing is compiled by XLA.
      images: uint8 [B, h, w, 3].
      runs: timed runs of each stage and of the whole, int.

    Yields:
      A dict for each stage: "stage" and the figures of `timing.summary`; the last, "total", is timed by itself, not
      summed, and has images a second, peak memory and how much work there was.
    """
    state, compiled = {"images": tf.constant(images)}, get_kernels(model.config.kernels).compiled
    for step in stages(model):
        function = tf.function(step.run, jit_compile=compiled and step.name != PREPROCESS, autograph=False)
        seconds, new = timing.measure(lambda function=function: function(state), runs)
        state.update(new)
        yield {"stage": step.name, **timing.summary(seconds)}
    original_shape, detection = tuple(images.shape[1:3]), model.config.detection
    if "detection_masks" in state:
        seconds, _ = timing.measure(lambda: paste_all(state, state["image_shape"], original_shape, detection), runs)
        yield {"stage": "paste", **timing.summary(seconds)}
    work = {name.removeprefix("num_"): state[name].numpy().tolist() for name in WORK if name in state}
    uint8_images = state["images"]
    state.clear()  # it holds every intermediate tensor; the peak is to be that of the whole alone
    yield {**_total(model, uint8_images, runs, compiled), **work}


def _total(model, images, runs, compiled):
    original_shape = tuple(images.shape[1:3])
    preprocess = tf.function(model.preprocess, autograph=False)
    detect = tf.function(
        lambda image, shape: model({"image": image, "image_shape": shape}), jit_compile=compiled, autograph=False
    )

    def whole():
        image, image_shape = preprocess(images)
        detections = detect(image, image_shape)
        if "detection_masks" in detections:
            paste_all(detections, image_shape, original_shape, model.config.detection)

    whole()
    timing.reset_peak_memory()
    figures = timing.summary(timing.measure(whole, runs)[0])
    speed = {"images_per_s": round(len(images) / figures["median_s"], 3)}
    return {"stage": "total", **figures, **speed, **timing.peak_memory()}
