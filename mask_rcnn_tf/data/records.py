"""The one schema of records, whichever data set they come from: an image as its file's bytes, and its annotations.

Everything is in pixels of the image as its annotations mean it (`coco.pictures`):
  `image` string [], the bytes of an image file, of other kinds than RGB as `stacked` makes it; `orientation` int32 [],
  EXIF's, that turns its pixels (synthetic scenes have none); `height`, `width` int32 [], its size then, known without
  decoding it;
  `image_id` int64 []; `boxes` f32 [g, 4] [y1, x1, y2, x2]; `classes` int32 [g], 1..C;
  `mask_counts` ragged int32 [g, None], run lengths down the columns, the first of zeros (an empty row where there is a
  box only); `keypoints` f32 [g, J, 3] (x, y, v) where J > 0.
"""

import tensorflow as tf

from mask_rcnn_tf.ops.decode_image import decode_image, unstacked
from mask_rcnn_tf.ops.orientation import orient
from mask_rcnn_tf.pixels import RGB, PixelKind

PER_OBJECT = ("boxes", "classes", "mask_counts", "keypoints")  # keys with one row an object


def image_shape(record: dict[str, tf.Tensor]) -> tf.Tensor:
    """Size int32 [2], (h, w), of a record's image, encoded or decoded."""
    return tf.stack([record["height"], record["width"]])


def decoded(record: dict[str, tf.Tensor], kind: PixelKind = RGB) -> dict[str, tf.Tensor]:
    """A record with its pixels, `image` of this kind, in place of the file's bytes and their orientation.

    Args:
      record: as a data set gives it.
      kind: `config.model.preprocess.pixels`.

    Returns:
      A record without `orientation`.
    """
    rest = {key: value for key, value in record.items() if key != "orientation"}
    image = (decode_image if kind.is_rgb else unstacked)(record["image"], kind)
    return rest | {"image": orient(image, record["orientation"]) if "orientation" in record else image}
