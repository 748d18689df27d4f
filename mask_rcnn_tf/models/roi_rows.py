"""RoIs of a padded batch as the flat rows that RoIAlign and the heads work on, and back."""

import tensorflow as tf


class RoiRows:
    """Which rows of a padded [B, R] batch a head runs on.

    The native kernels run on the valid rows alone, since a head costs far more than moving rows; the xla kernels, whose
    shapes must be constant, run on all and leave the padding to whoever reads the result.

    Args:
      valid: bool [B, R].
      kernels: "native" or "xla".
    """

    def __init__(self, valid, kernels):
        self.shape = tf.shape(valid)
        self._rows = tf.where(valid) if kernels == "native" else None
        if self._rows is None:
            columns = valid.shape[1]
            self.batch_indices = tf.repeat(tf.range(self.shape[0]), columns)
            self.valid = tf.reshape(valid, [-1])
        else:
            self.batch_indices = tf.cast(self._rows[:, 0], tf.int32)
            self.valid = None  # every row is

    def flatten(self, padded):
        """[B, R, ...] -> [n, ...]."""
        if self._rows is not None:
            return tf.gather_nd(padded, self._rows)
        return tf.reshape(padded, tf.concat([[-1], tf.shape(padded)[2:]], 0))

    def restore(self, flat):
        """[n, ...] -> [B, R, ...]; natively the rows left out are zero."""
        shape = tf.concat([self.shape, tf.shape(flat)[1:]], 0)
        if self._rows is None:
            return tf.reshape(flat, shape)
        return tf.scatter_nd(self._rows, flat, tf.cast(shape, tf.int64))
