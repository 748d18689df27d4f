"""A 3x3 convolution of many channels over a large map, whose kernel's gradient is nine products of matrices."""

import tensorflow as tf

from mask_rcnn_tf.ops.gradients import with_gradient
from mask_rcnn_tf.ops.shapes import sizes

SIDE, RING = 3, 1  # of the kernel; pixels around the map
CHANNELS, PIXELS = 256, 4096  # from where on the products are faster, measured on two cores with AVX-512


def wide_conv2d(inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`tf.nn.conv2d` with stride 1 and padding "SAME", for a CPU.

    oneDNN's gradient of such a kernel runs at half the speed of its convolution. Pixels of the padded map, one after
    the other, are the rows of a matrix; moved by one cell of the kernel they are the same rows from another one on,
    which is no copy. [2, 200, 304, 256] to 256 channels, on two cores: 545 ms for 330 in float32, 405 for 230 in
    bfloat16 (TensorFlow 2.21). With fewer channels, or on maps as small as RoIs, oneDNN's is as fast or faster.

    Args:
      inputs: float [n, h, w, c].
      kernel: [3, 3, c, d], of the inputs' kind.

    Returns:
      [n, h, w, d].
    """
    return with_gradient(_convolved, (inputs, kernel))


def is_wide(kernel: tf.Tensor) -> bool:
    """Whether `wide_conv2d` is for a kernel [k, k, c, d]."""
    return tuple(kernel.shape[:2]) == (SIDE, SIDE) and min(kernel.shape[2:]) >= CHANNELS


def _convolved(inputs, kernel):
    def gradient(upstream):
        options = {"strides": [1, 1, 1, 1], "padding": "SAME"}

        def by_convolution():
            return tf.raw_ops.Conv2DBackpropFilter(
                input=inputs, filter_sizes=tf.shape(kernel), out_backprop=upstream, **options
            )

        _, height, width, _ = sizes(inputs)
        large = height * width >= PIXELS
        if isinstance(large, bool):
            to_kernel = _products(inputs, upstream) if large else by_convolution()
        else:
            to_kernel = tf.cond(large, lambda: _products(inputs, upstream), by_convolution)
        with tf.control_dependencies([to_kernel]):  # not at once: the padded maps go before a third is made
            # Shapes here, not in the forward pass, see `scaled_conv`.
            to_inputs = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(inputs), filter=kernel, out_backprop=upstream, **options
            )
        return to_inputs, to_kernel

    return tf.nn.conv2d(inputs, kernel, 1, "SAME"), gradient


def _products(inputs, upstream) -> tf.Tensor:
    """The kernel's gradient [3, 3, c, d] from the inputs [n, h, w, c] and the outputs' gradient [n, h, w, d]."""
    _, _, width, channels = sizes(inputs)
    count, row = upstream.shape[3], width + 2 * RING
    padded = tf.pad(inputs, [[0, 0], [RING, RING], [RING, RING], [0, 0]])
    # The zeros at the end of its rows and columns meet what is of the next row, or the next image.
    shares = tf.pad(upstream, [[0, 0], [0, 2 * RING], [0, 2 * RING], [0, 0]])
    pixels, shares = tf.reshape(padded, [-1, channels]), tf.reshape(shares, [-1, count])
    used = tf.shape(pixels)[0] - (SIDE - 1) * (row + 1)
    cells = [
        tf.matmul(pixels[start : start + used], shares[:used], transpose_a=True)
        for start in (y * row + x for y in range(SIDE) for x in range(SIDE))
    ]
    return tf.reshape(tf.stack(cells), [SIDE, SIDE, channels, count])
