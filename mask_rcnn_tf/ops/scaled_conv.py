"""A convolution whose kernel is multiplied channel by channel, as by a frozen batch norm that is folded into it."""

import tensorflow as tf

from mask_rcnn_tf.ops.gradients import with_gradient


def scaled_conv2d(inputs: tf.Tensor, kernel: tf.Tensor, scale: tf.Tensor, *, stride: int, padding: str) -> tf.Tensor:
    """`tf.nn.conv2d` with `kernel * scale`, a product that is made again for the gradient, not kept for it.

    Kept, the products are as large as the weights of a backbone: 0.1 GB of R50-FPN from the forward pass on (measured).

    Args:
      inputs: float [n, h, w, c]; gets a gradient.
      kernel: float [k, k, c, d], of the inputs' precision or a higher one; gets a gradient.
      scale: float32 [d]; gets none.
      stride: of both axes.
      padding: "SAME" or "VALID".

    Returns:
      [n, h', w', d], of the inputs' kind.
    """
    return with_gradient(_convolved, (inputs, kernel), scale, stride=stride, padding=padding)


def _convolved(inputs, kernel, scale, stride, padding):
    scale = tf.cast(scale, kernel.dtype)
    outputs = tf.nn.conv2d(inputs, tf.cast(kernel * scale, inputs.dtype), stride, padding)

    def gradient(upstream):
        with tf.control_dependencies([upstream]):  # or TensorFlow takes the two products for one, and keeps it
            scaled = tf.cast(kernel * scale, inputs.dtype)
        options = {"strides": [1, stride, stride, 1], "padding": padding}
        # Not asked for in the forward pass: XLA wants shapes as constants, and then all that the function was given
        # that hands them over. Every weight became a constant of the program, which each step would compile anew.
        input_shape, kernel_shape = tf.shape(inputs), tf.shape(kernel)
        to_inputs = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=input_shape, filter=scaled, out_backprop=upstream, **options
        )
        to_kernel = tf.raw_ops.Conv2DBackpropFilter(
            input=inputs, filter_sizes=kernel_shape, out_backprop=upstream, **options
        )
        return to_inputs, tf.cast(to_kernel, kernel.dtype) * scale

    return outputs, gradient
