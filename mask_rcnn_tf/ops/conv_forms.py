"""Convolutions in the forms of `kernels`: what TensorFlow's are bad at on a CPU is done in other ways."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from mask_rcnn_tf.ops.thinning import every_nth_pooled, every_nth_sliced


class ConvForm(NamedTuple):
    """How a convolution is computed.

    Attributes:
      splits_groups: groups are convolved apart: on a CPU TensorFlow's grouped convolution has no gradient, and is three
        times slower than its parts.
      thin: what takes every nth pixel before a strided 1x1 convolution, see `thinning`. Its gradient writes outside its
        memory in oneDNN, in bfloat16 and in float32 (TensorFlow 2.21; random shapes under glibc's malloc check: a
        segmentation fault). None: the convolution is strided itself.
      wide: whether `wide_conv2d` is used while a model trains, where no GPU is visible.
      together: whether 1x1 convolutions of the same large map are one, which reads it once and has one gradient of it:
        the RPN's two predictors. Not where a result is quantized as a whole: scores and deltas have other ranges.
    """

    splits_groups: bool
    thin: Callable[[tf.Tensor, int], tf.Tensor] | None
    wide: bool
    together: bool


NATIVE = ConvForm(splits_groups=True, thin=every_nth_pooled, wide=True, together=True)
# XLA makes one operation of the slices.
COMPILED = ConvForm(splits_groups=True, thin=every_nth_sliced, wide=False, together=False)
STRIDED = ConvForm(splits_groups=True, thin=None, wide=False, together=False)
# Runtimes with all of a convolution's arguments.
WHOLE = ConvForm(splits_groups=False, thin=None, wide=False, together=False)
