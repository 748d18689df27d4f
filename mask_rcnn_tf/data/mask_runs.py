"""Masks of a record, which are run lengths, as bitmaps and in the frames of boxes: pure tensor functions."""

import tensorflow as tf

from mask_rcnn_tf.ops import masks as mask_ops


def decode_columns(counts: tf.Tensor, height: tf.Tensor, first: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    """Some columns of the bitmap that uncompressed COCO run lengths describe.

    Args:
      counts: int32 [n], runs down the columns, the first of zeros; none for an empty mask.
      height: int32 [], of the bitmap, pixels.
      first: int32 [], first column.
      end: int32 [], column after the last.

    Returns:
      uint8 [height, end - first] in {0, 1}.

    Source: pycocotools `maskApi.c`, rleDecode.
    """
    # Only what is 1 is written: most is not. tf.repeat would build a table of runs times the longest run.
    area = (end - first) * height
    starts, ends = (tf.clip_by_value(side - first * height, 0, area) for side in _ones(counts))
    ones = tf.ragged.range(starts, ends).flat_values[:, tf.newaxis]
    flat = tf.scatter_nd(ones, tf.ones_like(ones[:, 0], tf.uint8), [area])
    return tf.transpose(tf.reshape(flat, [end - first, height]))


def _ones(counts):
    """Where runs of ones start and end."""
    ends = tf.cumsum(counts)
    return ends[: tf.size(ends) // 2 * 2 : 2], ends[1::2]


def columns(counts: tf.Tensor, height: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The columns that hold a mask.

    Args:
      counts: int32 [n], as in `decode_columns`.
      height: int32 [], of the bitmap, pixels.

    Returns:
      The first one, and the one after the last, int32 []; (0, 0) of an empty mask.
    """
    starts, ends = _ones(counts)
    first = tf.reduce_min(tf.concat([starts // height, [tf.int32.max]], 0))
    end = tf.reduce_max(tf.concat([(ends + height - 1) // height, [0]], 0))
    return tf.minimum(first, end), end


def encode(bitmap: tf.Tensor, corner: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Run lengths of a mask that lies in a part of a bitmap.

    Args:
      bitmap: uint8 [ph, pw] in {0, 1}, the part.
      corner: int32 [2], (y, x) of its upper left pixel.
      shape: int32 [2], (h, w) of the whole, pixels.

    Returns:
      int32 [n], as in `decode_columns`; the last may be 0.
    """
    below = shape[0] - corner[0] - tf.shape(bitmap)[0]
    whole_columns = tf.pad(bitmap, [[corner[0], below], [0, 0]])
    flat = tf.reshape(tf.transpose(whole_columns), [-1])
    changes = tf.where(tf.pad(flat, [[1, 0]]) != tf.pad(flat, [[0, 1]]))[:, 0]
    ends = tf.concat([tf.cast(changes, tf.int32) + corner[1] * shape[0], [shape[0] * shape[1]]], 0)
    return ends - tf.concat([[0], ends[:-1]], 0)


def decode_masks(mask_counts: tf.RaggedTensor, image_shape: tf.Tensor) -> tf.Tensor:
    """Bitmaps of uncompressed COCO run lengths.

    Args:
      mask_counts: int32 ragged [g, None]; an empty row is an empty mask.
      image_shape: int32 [2], (h, w) of the bitmaps, pixels.

    Returns:
      uint8 [g, h, w] in {0, 1}.
    """
    height, width = tf.unstack(image_shape)
    # map_fn cannot stack nothing when sizes are unknown: one empty mask is appended and taken away again
    nothing = tf.RaggedTensor.from_row_lengths(tf.zeros([0], tf.int32), tf.zeros([1], mask_counts.row_splits.dtype))
    bitmaps = tf.map_fn(
        lambda counts: decode_columns(counts, height, 0, width),
        tf.concat([mask_counts, nothing], axis=0),
        fn_output_signature=tf.TensorSpec([None, None], tf.uint8),
    )
    return bitmaps[:-1]


def box_frame_masks(mask_counts: tf.RaggedTensor, boxes: tf.Tensor, image_shape: tf.Tensor, size: int) -> tf.Tensor:
    """Masks in the frames of boxes, one object at a time: bitmaps of whole images are large.

    Args:
      mask_counts: int32 ragged [g, None]; an empty row is an empty mask.
      boxes: float32 [g, 4], pixels of the bitmaps.
      image_shape: int32 [2], (h, w) of the bitmaps, pixels.
      size: side of a frame.

    Returns:
      uint8 [g, size, size], coverage 0..255, see `ops.masks.mask_to_box_frame`.
    """
    height, width = tf.unstack(image_shape)

    def frame(inputs):
        row, box = inputs
        # a column of margin on each side, which the resampling looks at
        first = tf.clip_by_value(tf.cast(tf.floor(box[1]), tf.int32) - 1, 0, width)
        end = tf.clip_by_value(tf.cast(tf.math.ceil(box[3]), tf.int32) + 1, first, width)
        offset = tf.cast(first, tf.float32)
        columns = decode_columns(row, height, first, end)
        return mask_ops.mask_to_box_frame(columns, box - tf.stack([0.0, offset, 0.0, offset]), size)

    signature = tf.TensorSpec([size, size], tf.uint8)
    return tf.map_fn(frame, (mask_counts, boxes), fn_output_signature=signature)
