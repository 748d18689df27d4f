"""From a record in original pixels to a padded example in network pixels: pure tensor functions.

`compact` does what is the same in every epoch (masks into a small frame), `augment_draws` draws what differs, and
`example` applies it. Randomness is a function of (seed, epoch, image_id) only.
"""

import tensorflow as tf

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import records
from mask_rcnn_tf.ops import boxes as box_ops
from mask_rcnn_tf.ops import images as image_ops
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
    # Every run's end toggles the value. tf.repeat would build a table of runs times the longest run.
    area = (end - first) * height
    toggles = tf.clip_by_value(tf.cumsum(counts) - first * height, 0, area)
    at_pixel = tf.scatter_nd(toggles[:, tf.newaxis], tf.ones_like(toggles), [area + 1])
    flat = tf.cast(tf.cumsum(at_pixel[:area]) % 2, tf.uint8)
    return tf.transpose(tf.reshape(flat, [end - first, height]))


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


def compact(config: Config, record: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The part of the work that no augmentation changes: keeps the first G objects, puts masks into the box frame.

    Args:
      config: `data.max_gt`, `data.gt_mask_size` and whether the model has masks are read.
      record: from `records.decoded`.

    Returns:
      The record with `masks` u8 0..255 [g, mh, mw] for `mask_counts` in the box frame; the canvas frame, whose bitmaps
      are large, keeps the run lengths. Neither if there is no mask head.
    """
    surplus = slice(config.data.max_gt)
    record = {key: value[surplus] if key in records.PER_OBJECT else value for key, value in record.items()}
    image_shape = tf.shape(record["image"])[:2]
    # clipped first: the frame of a mask is the box that the network will see
    record["boxes"] = box_ops.clip_boxes(record["boxes"][tf.newaxis], image_shape[tf.newaxis])[0]
    if config.model.masks_on_canvas:
        return record
    counts = record.pop("mask_counts")
    if config.model.has_masks:
        record["masks"] = _box_frame_masks(counts, record["boxes"], image_shape, config.data.gt_mask_size)
    return record


def _box_frame_masks(counts: tf.RaggedTensor, boxes: tf.Tensor, image_shape: tf.Tensor, size: int) -> tf.Tensor:
    """Masks u8 0..255 [g, size, size], one object at a time: bitmaps of whole images are large."""

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
    return tf.map_fn(frame, (counts, boxes), fn_output_signature=signature)


def augment_draws(config: Config, image_id: tf.Tensor, epoch: tf.Tensor) -> dict[str, tf.Tensor]:
    """Draws the augmentation of one image in one epoch.

    Args:
      config: `data.train_short_sides`, `data.flip_*` and `train.seed` are read.
      image_id: int64 [].
      epoch: int64 [], from 0.

    Returns:
      `short_side` int32 [] pixels, `flip_horizontal` and `flip_vertical` bool [].
    """
    seed = tf.stack([tf.cast(epoch, tf.int64) * 1_000_003 + config.train.seed, tf.cast(image_id, tf.int64)])
    draws = tf.random.stateless_uniform([3], seed, alg="philox")
    sides = tf.constant(config.data.train_short_sides, tf.int32)
    side = tf.minimum(tf.cast(draws[0] * len(config.data.train_short_sides), tf.int32), tf.size(sides) - 1)
    return {
        "short_side": sides[side],
        "flip_horizontal": (draws[1] < 0.5) & config.data.flip_horizontal,
        "flip_vertical": (draws[2] < 0.5) & config.data.flip_vertical,
    }


def no_augmentation(config: Config) -> dict[str, tf.Tensor]:
    """What `augment_draws` would return for evaluation: the model's own short side and no flip."""
    return {
        "short_side": tf.constant(config.model.preprocess.short_side),
        "flip_horizontal": tf.constant(False),
        "flip_vertical": tf.constant(False),
    }


def resized_shape(config: Config, image_shape: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
    """Size of an image [2] int32 after resizing by the drawn short side."""
    preprocess = config.model.preprocess
    return image_ops.resized_shape(image_shape, draws["short_side"], preprocess.max_side, preprocess.size_rounding)


def canvas_index(config: Config, shape: tf.Tensor) -> tf.Tensor:
    """Which of `sorted_canvases` holds an image: the smallest.

    Args:
      config: `data.canvases` is read.
      shape: int32 [2] (h, w) after resizing.

    Returns:
      int64 [].
    """
    fits = tf.reduce_all(tf.constant(sorted_canvases(config)) >= shape, axis=1)
    text = f"config.data.canvases is {config.data.canvases}; allowed: also one that holds an image of (h, w) ="
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_any(fits), [text, shape])]):
        return tf.argmax(tf.cast(fits, tf.int32), output_type=tf.int64)


def sorted_canvases(config: Config) -> list[tuple[int, int]]:
    """The canvases (H, W) from the smallest area to the largest."""
    return sorted((tuple(canvas) for canvas in config.data.canvases), key=lambda canvas: canvas[0] * canvas[1])


def check_canvases(config: Config) -> None:
    """Makes sure before anything is loaded that every image will fit.

    Raises:
      ValueError: an image resized by a short side and `max_side` may fit none of `config.data.canvases`.
    """
    longest = config.model.preprocess.max_side
    for short_side in {*config.data.train_short_sides, config.model.preprocess.short_side}:
        for need in {(min(short_side, longest), longest), (longest, min(short_side, longest))}:
            if not any(canvas[0] >= need[0] and canvas[1] >= need[1] for canvas in config.data.canvases):
                raise ValueError(
                    f"config.data.canvases is {config.data.canvases}; allowed: a set in which one canvas holds {need} "
                    f"(h, w), the largest image with short side {short_side} and config.model.preprocess.max_side "
                    f"{longest}; add a canvas or lower max_side."
                )


def example(
    config: Config, compacted: dict[str, tf.Tensor], draws: dict[str, tf.Tensor], canvas: tuple
) -> dict[str, tf.Tensor]:
    """Resizes, flips, normalises and pads one image with its annotations.

    Args:
      config: `model.preprocess`, whether it has masks, and `data` are read.
      compacted: from `compact`.
      draws: from `augment_draws` or `no_augmentation`.
      canvas: (H, W), ints or int32 tensors, at least as large as the resized image.

    Returns:
      The example of a batch, without its first axis: `image` f32 [H, W, 3], `image_shape` and `original_shape` int32
      [2], `image_id` int64 [], `gt_boxes` f32 [G, 4], `gt_classes` int32 [G], `gt_masks` u8 [G, mh, mw] or [G, H, W],
      `gt_keypoints` f32 [G, J, 3] (x, y, v).
    """
    original_shape = tf.shape(compacted["image"])[:2]
    shape = resized_shape(config, original_shape, draws)
    built = {
        "image": _image(config, compacted["image"], shape, draws, canvas),
        "image_shape": shape,
        "original_shape": original_shape,
        "image_id": tf.cast(compacted["image_id"], tf.int64),
        "gt_boxes": _boxes(compacted["boxes"], original_shape, shape, draws),
        "gt_classes": tf.cast(compacted["classes"], tf.int32),
    }
    if "masks" in compacted:
        built["gt_masks"] = _flip(compacted["masks"], draws, rows=1, columns=2)
    if "mask_counts" in compacted:
        built["gt_masks"] = _canvas_masks(compacted["mask_counts"], original_shape, shape, draws, canvas)
    if "keypoints" in compacted:
        built["gt_keypoints"] = _keypoints(config, compacted["keypoints"], original_shape, shape, draws)
    return {key: _pad_rows(value, config.data.max_gt) if key.startswith("gt_") else value
            for key, value in built.items()}  # fmt: skip


def _flip(values: tf.Tensor, draws: dict[str, tf.Tensor], rows: int, columns: int) -> tf.Tensor:
    values = tf.cond(draws["flip_horizontal"], lambda: tf.reverse(values, [columns]), lambda: values)
    return tf.cond(draws["flip_vertical"], lambda: tf.reverse(values, [rows]), lambda: values)


def _image(config: Config, image: tf.Tensor, shape: tf.Tensor, draws: dict, canvas: tuple) -> tf.Tensor:
    preprocess = config.model.preprocess
    resized = tf.cond(
        tf.reduce_all(tf.shape(image)[:2] == shape),
        lambda: tf.cast(image, tf.float32),  # resizing to the same size changes nothing but takes time
        lambda: image_ops.resize(image, shape, preprocess.antialias, preprocess.round_resized),
    )
    flipped = _flip(resized, draws, rows=0, columns=1)
    normalized = image_ops.normalize(
        flipped, preprocess.channel_order, preprocess.pixel_scale, preprocess.mean, preprocess.std
    )
    return image_ops.pad_to(normalized, canvas[0], canvas[1])


def _static(canvas: tuple) -> list:
    return [side if isinstance(side, int) else None for side in canvas]


def _boxes(boxes: tf.Tensor, original_shape: tf.Tensor, shape: tf.Tensor, draws: dict) -> tf.Tensor:
    """Boxes [g, 4] resized, clipped to the image and flipped."""
    boxes = image_ops.scale_boxes(boxes, original_shape, shape)
    # rounding may carry a side past the border
    boxes = box_ops.clip_boxes(boxes[tf.newaxis], shape[tf.newaxis])[0]
    height, width = tf.unstack(tf.cast(shape, tf.float32))
    y1, x1, y2, x2 = tf.unstack(boxes, axis=-1)
    boxes = tf.where(draws["flip_horizontal"], tf.stack([y1, width - x2, y2, width - x1], axis=-1), boxes)
    y1, x1, y2, x2 = tf.unstack(boxes, axis=-1)
    return tf.where(draws["flip_vertical"], tf.stack([height - y2, x1, height - y1, x2], axis=-1), boxes)


def _canvas_masks(mask_counts: tf.RaggedTensor, original_shape, shape, draws: dict, canvas: tuple) -> tf.Tensor:
    """Bitmaps u8 0..255 [g, H, W] in the canvas frame."""
    bitmaps = image_ops.resize_masks_nearest(decode_masks(mask_counts, original_shape) * 255, shape)
    flipped = _flip(bitmaps, draws, rows=1, columns=2)
    padded = tf.pad(flipped, [[0, 0], [0, canvas[0] - shape[0]], [0, canvas[1] - shape[1]]])
    return tf.ensure_shape(padded, [None, *_static(canvas)])


def _keypoints(config: Config, keypoints: tf.Tensor, original_shape, shape, draws: dict) -> tf.Tensor:
    """Keypoints [g, J, 3] (x, y, v) resized and flipped; unlabelled ones (v = 0) stay at (0, 0)."""
    scale = tf.cast(shape, tf.float32) / tf.cast(original_shape, tf.float32)
    height, width = tf.unstack(tf.cast(shape, tf.float32))
    x, y, visibility = tf.unstack(keypoints * tf.stack([scale[1], scale[0], 1.0]), axis=-1)
    x = tf.where(draws["flip_horizontal"], width - x, x)
    y = tf.where(draws["flip_vertical"], height - y, y)
    moved = tf.stack([x, y, visibility], axis=-1)
    order = list(range(keypoints.shape[1]))
    for left, right in config.data.keypoint_flip_pairs:
        order[left], order[right] = right, left
    # a mirrored person's left eye is a right eye, whichever axis the mirror stands on; two mirrors are a rotation
    mirrored = draws["flip_horizontal"] != draws["flip_vertical"]
    moved = tf.cond(mirrored, lambda: tf.gather(moved, order, axis=1), lambda: moved)
    return tf.where(moved[..., 2:] > 0, moved, 0.0)


def _pad_rows(values: tf.Tensor, rows: int) -> tf.Tensor:
    padding = [[0, rows - tf.shape(values)[0]]] + [[0, 0]] * (values.shape.rank - 1)
    return tf.ensure_shape(tf.pad(values, padding), [rows, *values.shape[1:]])
