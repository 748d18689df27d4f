"""RoIs of a padded batch as the flat rows that RoIAlign and the heads work on, and back."""

import tensorflow as tf


class RoiRows:
    """Which rows of a padded [B, R] batch a head runs on.

    Kernels that may run on the valid rows alone, since a head costs far more than moving rows; those whose shapes must
    be constant run on all and leave the padding to whoever reads the result.

    Attributes:
      batch_indices: int32 [n], the image of each row.
      counted: bool [n], rows that are valid.

    Args:
      valid: bool [B, R].
      static: whether shapes are constant, `Kernels.static`.
    """

    def __init__(self, valid: tf.Tensor, static: bool):
        self.shape = tf.shape(valid)
        if static:
            self._rows = None
            self.batch_indices = tf.repeat(tf.range(self.shape[0]), valid.shape[1])
            self.counted = tf.reshape(valid, [-1])
            return
        rows = tf.where(valid)
        self._count = tf.shape(rows)[0]
        # Where nothing is valid the first row stands in, uncounted: several TensorFlow kernels fail on zero rows
        # (Einsum; oneDNN's bfloat16 convolution gradient aborts the process).
        empty = tf.cast(self._count == 0, tf.int32)
        self._rows = tf.ensure_shape(tf.pad(rows, [[0, empty], [0, 0]]), [None, 2])
        self.batch_indices = tf.cast(self._rows[:, 0], tf.int32)
        self.counted = tf.fill([self._count + empty], self._count > 0)

    def flatten(self, padded: tf.Tensor) -> tf.Tensor:
        """[B, R, ...] -> [n, ...]."""
        if self._rows is not None:
            return tf.gather_nd(padded, self._rows)
        return tf.reshape(padded, tf.concat([[-1], tf.shape(padded)[2:]], 0))

    def restore(self, flat: tf.Tensor) -> tf.Tensor:
        """[n, ...] -> [B, R, ...]; natively the rows left out are zero."""
        shape = tf.concat([self.shape, tf.shape(flat)[1:]], 0)
        if self._rows is None:
            return tf.reshape(flat, shape)
        count = self._count
        return tf.scatter_nd(self._rows[:count], flat[:count], tf.cast(shape, tf.int64))
