"""From a record in original pixels to a padded example in network pixels: pure tensor functions.

`compact` does what is the same in every epoch (masks into a small frame), `augment_draws` draws what differs, and
`viewing.viewed`, then `example`, apply it. Randomness is a function of (seed, epoch, image_id) only.
"""

from typing import Any

import tensorflow as tf

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import mask_runs, records, views
from mask_rcnn_tf.data.appearance import appearance_draws, is_varied, varied
from mask_rcnn_tf.data.placement import Placement, jittered_shape, random_window
from mask_rcnn_tf.ops import boxes as box_ops
from mask_rcnn_tf.ops import images as image_ops

JITTER_SEED = (0, 2**40)  # added to the seed of the other draws


def compact(config: Config, record: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The part of the work that no augmentation changes: keeps the first G objects, puts masks into the box frame.

    Args:
      config: `data.max_gt`, `data.gt_mask_size`, `data.scale_jitter`, `data.crop`, `data.rotation` and whether the
        model has masks are read.
      record: from `records.decoded`.

    Returns:
      The record with `masks` u8 0..255 [g, mh, mw] for `mask_counts` in the box frame; the canvas frame, whose bitmaps
      are large, and what cuts boxes or turns them by any angle, keep the run lengths, and so without a mask head, where
      they give boxes. Else there are neither without one. At most `max_gt` objects, of views with cuts all.
    """
    surplus = slice(None if views.cuts_objects(config) else config.data.max_gt)
    record = {key: value[surplus] if key in records.PER_OBJECT else value for key, value in record.items()}
    image_shape = tf.shape(record["image"])[:2]
    # clipped first: the frame of a mask is the box that the network will see
    record["boxes"] = box_ops.clip_boxes(record["boxes"][tf.newaxis], image_shape[tf.newaxis])[0]
    if config.model.masks_on_canvas or views.cuts_objects(config):
        return record
    if config.model.has_masks and config.data.scale_jitter:
        return record
    counts = record.pop("mask_counts")
    if config.model.has_masks:
        record["masks"] = mask_runs.box_frame_masks(counts, record["boxes"], image_shape, config.data.gt_mask_size)
    return record


def draw_seed(config: Config, image_id: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
    """Seed int64 [2] of what is drawn for an image in an epoch; arguments as in `augment_draws`."""
    return tf.stack([tf.cast(epoch, tf.int64) * 1_000_003 + config.train.seed, tf.cast(image_id, tf.int64)])


def augment_draws(config: Config, image_id: tf.Tensor, epoch: tf.Tensor) -> dict[str, tf.Tensor]:
    """Draws the augmentation of one image in one epoch.

    Args:
      config: `train.seed` and what `data` says of augmentation are read.
      image_id: int64 [].
      epoch: int64 [], from 0.

    Returns:
      `short_side` int32 [] pixels, `flip_horizontal` and `flip_vertical` bool []; with jitter `scale` float32 [] and
      `window` float32 [2], see `placement`; what `views.view_draws` and `appearance.appearance_draws` give.
    """
    seed = draw_seed(config, image_id, epoch)
    draws = tf.random.stateless_uniform([3], seed, alg="philox")
    sides = tf.constant(config.data.train_short_sides, tf.int32)
    side = tf.minimum(tf.cast(draws[0] * len(config.data.train_short_sides), tf.int32), tf.size(sides) - 1)
    drawn = {
        "short_side": sides[side],
        "flip_horizontal": (draws[1] < 0.5) & config.data.flip_horizontal,
        "flip_vertical": (draws[2] < 0.5) & config.data.flip_vertical,
    }
    if config.data.scale_jitter:
        low, high = config.data.scale_jitter
        jitter = tf.random.stateless_uniform([3], seed + JITTER_SEED, alg="philox")
        drawn |= {"scale": low + jitter[0] * (high - low), "window": jitter[1:]}
    return drawn | views.view_draws(config, seed) | appearance_draws(config, seed)


def no_augmentation(config: Config) -> dict[str, tf.Tensor]:
    """What `augment_draws` would return for evaluation: the model's own short side and no flip."""
    return {
        "short_side": tf.constant(config.model.preprocess.short_side),
        "flip_horizontal": tf.constant(False),
        "flip_vertical": tf.constant(False),
    }


def resized_shape(config: Config, image_shape: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
    """Size of an image [2] int32 after resizing by the drawn short side, or the drawn scale."""
    if "scale" in draws:
        return jittered_shape(image_shape, draws["scale"], config.data.canvases[0])
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
      ValueError: an image resized by a short side and `max_side` may fit none of `config.data.canvases`; or options of
        augmentation contradict each other.
    """
    _check_augmentation(config)
    longest = config.model.preprocess.max_side
    train_sides = () if config.data.scale_jitter else config.data.train_short_sides
    for short_side in {*train_sides, config.model.preprocess.short_side}:
        for need in {(min(short_side, longest), longest), (longest, min(short_side, longest))}:
            if not any(canvas[0] >= need[0] and canvas[1] >= need[1] for canvas in config.data.canvases):
                raise ValueError(
                    f"config.data.canvases is {config.data.canvases}; allowed: a set in which one canvas holds {need} "
                    f"(h, w), the largest image with short side {short_side} and config.model.preprocess.max_side "
                    f"{longest}; add a canvas or lower max_side."
                )


def _check_augmentation(config: Config):
    data = config.data
    if len(data.scale_jitter) not in (0, 2) or sorted(data.scale_jitter) != list(data.scale_jitter):
        raise ValueError(f"config.data.scale_jitter is {data.scale_jitter}; allowed: () or (lowest, highest) scale.")
    if data.scale_jitter and len(data.canvases) > 1:
        raise ValueError(
            f"config.data.canvases is {data.canvases}; allowed with config.data.scale_jitter: one, which is the crop."
        )
    if data.copy_paste and not (data.scale_jitter and config.model.has_masks and not config.model.masks_on_canvas):
        raise ValueError(
            f"config.data.copy_paste is {data.copy_paste}; allowed above 0: with config.data.scale_jitter, such as "
            "(1.0, 1.0), and masks in the frame of their box (config.model.mask_head.mask_frame)."
        )


def example(
    config: Config, compacted: dict[str, tf.Tensor], draws: dict[str, tf.Tensor], canvas: tuple
) -> dict[str, tf.Tensor]:
    """Resizes, crops, flips, normalises and pads one image with its annotations.

    Args:
      config: `model.preprocess`, whether it has masks, and `data` are read.
      compacted: from `compact`, or what is seen of it, from `viewing.viewed`.
      draws: from `augment_draws` or `no_augmentation`.
      canvas: (H, W), ints or int32 tensors, at least as large as the resized image, or the crop.

    Returns:
      The example of a batch, without its first axis: `image` f32 [H, W, 3], `image_shape` and `original_shape` int32
      [2], `image_id` int64 [], `gt_boxes` f32 [G, 4], `gt_classes` int32 [G], `gt_masks` u8 [G, mh, mw] or [G, H, W],
      `gt_keypoints` f32 [G, J, 3] (x, y, v); where `compacted` has stored proposals, `proposals` f32 [K, 4] and
      `num_proposals` int32 [].
    """
    placement, objects = placed(config, compacted, draws, canvas)
    image = placed_image(config, compacted["image"], placement, draws, canvas)
    return finished(config, compacted, placement, objects, image)


def placed(
    config: Config, compacted: dict[str, tf.Tensor], draws: dict[str, tf.Tensor], canvas: tuple
) -> tuple[Placement, dict[str, Any]]:
    """Where an image lies on its canvas, and its objects there; arguments as in `example`.

    Returns:
      The placement, and `boxes` f32 [g, 4], `classes` int32 [g], and, where there are any, `masks` u8 [g, mh, mw] or
      [g, H, W], `mask_counts` ragged int32 [g, None] (of the image before), `keypoints` f32 [g, J, 3]. A crop leaves
      objects out of which nothing is seen.
    """
    placement = _placement(config, tf.shape(compacted["image"])[:2], draws, canvas)
    window = placement.window(compacted["boxes"])
    objects = {"boxes": placement.mirrored_boxes(window), "classes": tf.cast(compacted["classes"], tf.int32)}
    counts = compacted.get("mask_counts")
    if "masks" in compacted:
        objects["masks"] = placement.mirrored(compacted["masks"], rows=1, columns=2)
    elif config.model.masks_on_canvas:
        objects |= {"masks": _canvas_masks(counts, placement, canvas), "mask_counts": counts}
    elif counts is not None:
        masks = mask_runs.box_frame_masks(
            counts, placement.from_window(window), placement.original, config.data.gt_mask_size
        )
        objects |= {"masks": placement.mirrored(masks, rows=1, columns=2), "mask_counts": counts}
    if "keypoints" in compacted:
        objects["keypoints"] = _keypoints(config, compacted["keypoints"], placement)
    return placement, objects if placement.offset is None else _seen(objects)


def _placement(config, original_shape, draws, canvas):
    resized = resized_shape(config, original_shape, draws)
    offset, shape = random_window(resized, draws["window"], canvas) if "window" in draws else (None, resized)
    flips = draws["flip_horizontal"], draws["flip_vertical"]
    return Placement(original_shape, resized, shape, offset, *flips)


def _seen(objects: dict[str, Any]) -> dict[str, Any]:
    """Those with an area, and, where they had a mask, something of it."""
    keep = box_ops.has_area(objects["boxes"])
    if "masks" in objects:
        had_mask = objects["mask_counts"].row_lengths() > 0
        keep &= tf.reduce_any(objects["masks"] > 0, [1, 2]) | ~had_mask
    return select_objects(objects, keep)


def select_objects(objects: dict[str, Any], keep: tf.Tensor) -> dict[str, Any]:
    """The objects of `placed` for which bool [g] `keep` holds."""
    return {
        name: (tf.ragged if isinstance(value, tf.RaggedTensor) else tf).boolean_mask(value, keep)
        for name, value in objects.items()
    }


def finished(
    config: Config, compacted: dict[str, tf.Tensor], placement: Placement, objects: dict[str, Any], image: tf.Tensor
) -> dict[str, tf.Tensor]:
    """An `example` of its parts: `placed`'s and the image f32 [H, W, 3] of `placed_image`."""
    built = {
        "image": image,
        "image_shape": placement.shape,
        "original_shape": placement.original,
        "image_id": tf.cast(compacted["image_id"], tf.int64),
    }
    if "proposals" in compacted:
        built |= _proposals(config, compacted["proposals"], placement)
    return built | {
        f"gt_{name}": _pad_rows(value, config.data.max_gt) for name, value in objects.items() if name != "mask_counts"
    }


def _proposals(config: Config, boxes: tf.Tensor, placement: Placement) -> dict[str, tf.Tensor]:
    """Stored proposals [n, 4] on the canvas, in their order, without those of which nothing is seen."""
    boxes = placement.mirrored_boxes(placement.window(boxes))
    rows = max(config.model.rpn.post_nms_top_n_train, config.model.rpn.post_nms_top_n_test)
    boxes = tf.boolean_mask(boxes, box_ops.has_area(boxes))[:rows]
    return {"proposals": _pad_rows(boxes, rows), "num_proposals": tf.shape(boxes)[0]}


def placed_image(
    config: Config, image: tf.Tensor, placement: Placement, draws: dict[str, tf.Tensor], canvas: tuple
) -> tf.Tensor:
    """An image [h, w, C] where it lies on its canvas, looking as drawn, normalised and padded, f32 [H, W, C]."""
    preprocess, shape, changes = config.model.preprocess, placement.resized, is_varied(draws)
    if not changes:  # the file has fewer pixels to put in order than the network
        image = image_ops.ordered(image, preprocess.channel_order)
    resized = tf.cond(
        tf.reduce_all(tf.shape(image)[:2] == shape),
        # resizing to the same size changes nothing but takes time
        lambda: image if preprocess.round_resized else tf.cast(image, tf.float32),
        lambda: image_ops.resize(image, shape, preprocess.antialias, preprocess.round_resized),
    )
    shown = placement.mirrored(placement.cut(resized), rows=0, columns=1)
    if changes:
        shown = image_ops.ordered(varied(config, tf.cast(shown, tf.float32), draws), preprocess.channel_order)
    normalized = image_ops.normalize_rows(shown, preprocess.pixel_scale, preprocess.mean, preprocess.std)
    return image_ops.pad_to(normalized, canvas[0], canvas[1])


def _static(canvas: tuple) -> list:
    return [side if isinstance(side, int) else None for side in canvas]


def _canvas_masks(mask_counts: tf.RaggedTensor, placement: Placement, canvas: tuple) -> tf.Tensor:
    """Bitmaps u8 0..255 [g, H, W] in the canvas frame."""
    bitmaps = mask_runs.decode_masks(mask_counts, placement.original) * 255
    bitmaps = image_ops.resize_masks_nearest(bitmaps, placement.resized)
    flipped = placement.mirrored(placement.cut(bitmaps, rows=1), rows=1, columns=2)
    margins = canvas[0] - placement.shape[0], canvas[1] - placement.shape[1]
    padded = tf.pad(flipped, [[0, 0], [0, margins[0]], [0, margins[1]]])
    return tf.ensure_shape(padded, [None, *_static(canvas)])


def _keypoints(config: Config, keypoints: tf.Tensor, placement: Placement) -> tf.Tensor:
    """Keypoints [g, J, 3] (x, y, v) moved and flipped; unlabelled ones (v = 0) stay at (0, 0)."""
    pairs = config.data.keypoint_flip_pairs
    moved = placement.exchanged(placement.points(keypoints), pairs, config.data.keypoint_vertical_pairs or pairs)
    return tf.where(moved[..., 2:] > 0, moved, 0.0)


def _pad_rows(values: tf.Tensor, rows: int) -> tf.Tensor:
    padding = [[0, rows - tf.shape(values)[0]]] + [[0, 0]] * (values.shape.rank - 1)
    return tf.ensure_shape(tf.pad(values, padding), [rows, *values.shape[1:]])
