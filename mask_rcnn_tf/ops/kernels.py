"""The sets of kernels: the same operations in the forms that TensorFlow, XLA and the runtimes of exports are good at.

This table is the only place that knows what a set's name means; everything else reads the properties of a set.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from mask_rcnn_tf.ops import canvas_targets, conv_forms, images, keypoints, nms, roi_align, roi_gather, roi_onnx


class Pooling(NamedTuple):
    """RoIAlign in two parts.

    Attributes:
      prepare: from the levels [B, h, w, C], finest first, to what `pool` reads; once an image. See `roi_align.prepare`.
      pool: from that, rois, batch_indices, level_indices, output_size and `RoiAlignOptions` to float32
        [n, rows, columns, C]. See `roi_align.pool`.
    """

    prepare: Callable[[list[tf.Tensor]], Any]
    pool: Callable[..., tf.Tensor]


class Kernels(NamedTuple):
    """One set.

    Attributes:
      static: shapes are constant: padded rows stay, and a model compiles under XLA.
      compiled: made for `jit_compile`.
      convolution: see `ConvForm`.
      resize: form of `images.resize`.
      nms: see `nms.nms_native`.
      class_nms: see `nms.class_nms_native`.
      roi_align: see `Pooling`.
      canvas_targets: see `canvas_targets.canvas_targets_native`.
      keypoint_peaks: see `keypoints.find_peaks_native`.
    """

    static: bool
    compiled: bool
    convolution: conv_forms.ConvForm
    resize: images.ResizeForm
    nms: Callable[..., tuple[tf.Tensor, tf.Tensor]]
    class_nms: Callable[..., tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]]
    roi_align: Pooling
    canvas_targets: Callable[..., tf.Tensor]
    keypoint_peaks: Callable[..., keypoints.Peaks]


NATIVE = Kernels(
    static=False,
    compiled=False,
    convolution=conv_forms.NATIVE,
    resize=images.NATIVE_RESIZE,
    nms=nms.nms_native,
    class_nms=nms.class_nms_native,
    roi_align=Pooling(roi_align.prepare, roi_align.pool),
    canvas_targets=canvas_targets.canvas_targets_native,
    keypoint_peaks=keypoints.find_peaks_native,
)
XLA = Kernels(
    static=True,
    compiled=True,
    convolution=conv_forms.COMPILED,
    resize=images.MATRIX_RESIZE,
    nms=nms.nms_xla,
    class_nms=nms.class_nms_xla,
    roi_align=Pooling(roi_gather.prepare, functools.partial(roi_gather.pool, wide=True)),
    canvas_targets=canvas_targets.canvas_targets_xla,
    keypoint_peaks=keypoints.find_peaks_grid,
)
ONNX = NATIVE._replace(
    convolution=conv_forms.WHOLE,
    resize=images.ONNX_RESIZE,
    nms=nms.nms_onnx,
    class_nms=nms.class_nms_onnx,
    roi_align=Pooling(roi_onnx.prepare, roi_onnx.pool_apart),
    keypoint_peaks=keypoints.find_peaks_grid,
)
KERNELS = {
    "native": NATIVE,  # TensorFlow's operators; padded rows are dropped before an expensive head
    "xla": XLA,  # constant shapes only, for jit_compile and StableHLO
    "onnx": ONNX,  # holds the place of ONNX's operators, for that export
    # ONNX's operators in constant shapes.
    "tensorrt": ONNX._replace(
        static=True, resize=images.MATRIX_RESIZE, roi_align=Pooling(roi_onnx.prepare, roi_onnx.pool_all)
    ),
    "tflite": XLA._replace(
        compiled=False,
        convolution=conv_forms.STRIDED,
        nms=nms.nms_tflite,
        class_nms=nms.class_nms_tflite,
        roi_align=Pooling(roi_gather.prepare, roi_gather.pool),
    ),
}


def get_kernels(name: str) -> Kernels:
    """The set called `name` (`ModelConfig.kernels`). Raises ValueError: there is none."""
    if name not in KERNELS:
        raise ValueError(f"kernels is {name!r}; allowed: {', '.join(map(repr, KERNELS))}.")
    return KERNELS[name]
