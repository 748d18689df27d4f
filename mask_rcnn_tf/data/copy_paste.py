"""Copy-paste: objects of one image on another, which they cover (Ghiasi et al., arXiv:2012.07177).

Both images were resized, cropped and flipped on their own. What a pasted object covers is taken out of the masks below,
whose boxes are then those of what is left; objects of which nothing is left are dropped. Pasted edges are not blurred
(the paper found no need to).
"""

from typing import Any

import tensorflow as tf

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import mask_runs, transforms
from mask_rcnn_tf.data.placement import Placement
from mask_rcnn_tf.ops import masks as mask_ops

PASTE_SEED = (0, 2**41)  # added to the seed of the other draws


def paste_draws(config: Config, image_id: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
    """Which objects of the other image are pasted on an image in an epoch.

    Args:
      config: `data.copy_paste`, `data.max_gt` and `train.seed` are read.
      image_id: int64 [], of the image that is pasted on.
      epoch: int64 [], from 0.

    Returns:
      bool [max_gt]; those that do not exist count for nothing.
    """
    seed = transforms.draw_seed(config, image_id, epoch) + PASTE_SEED
    draws = tf.random.stateless_uniform([1 + config.data.max_gt], seed, alg="philox")
    return (draws[0] < config.data.copy_paste) & (draws[1:] < 0.5)


def pasted_example(
    config: Config, images: tuple[dict, dict], draws: tuple[dict, dict], chosen: tf.Tensor, canvas: tuple[int, int]
) -> dict[str, tf.Tensor]:
    """`transforms.example` of an image with objects of another one on it.

    Args:
      config: see `transforms.example`.
      images: the image and the other one, from `viewing.viewed`.
      draws: of each, from `transforms.augment_draws`.
      chosen: bool [max_gt], from `paste_draws`.
      canvas: (H, W), the crop.

    Returns:
      An example of the first image. Pasted objects come first; those above `max_gt` are dropped. `image_shape` grows
      to hold what was pasted beside a small image.
    """
    return tf.cond(
        tf.reduce_any(chosen),
        lambda: _pasted(config, images, draws, chosen, canvas),
        lambda: transforms.example(config, images[0], draws[0], canvas),
    )


def _pasted(config, images, draws, chosen, canvas):
    (below, found), (above, others) = (
        transforms.placed(config, image, drawn, canvas) for image, drawn in zip(images, draws, strict=True)
    )
    others = transforms.select_objects(others, chosen[: tf.shape(others["boxes"])[0]])
    cover = _cover(others["mask_counts"], above, canvas)
    # what has a box only cannot be pasted: nothing says which pixels are its own
    others = transforms.select_objects(others, others["mask_counts"].row_lengths() > 0)
    objects = _joined(others, _uncovered(found, below, cover, canvas), config.data.max_gt)
    pixels = (
        transforms.placed_image(config, image["image"], place, drawn, canvas)
        for image, place, drawn in zip(images, (below, above), draws, strict=True)
    )
    lower, upper = pixels
    built = transforms.finished(config, images[0], below, objects, tf.where(cover[..., tf.newaxis], upper, lower))
    return built | {"image_shape": tf.maximum(below.shape, _extent(cover))}


class _Masks:
    """Masks of an image on the canvas, each in a band as wide as itself: objects may be many and small."""

    def __init__(self, placement: Placement, canvas: tuple[int, int]):
        self.placement, self.canvas = placement, canvas
        self.rows, self.columns = placement.nearest(0), placement.nearest(1)

    def band(self, counts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """From run lengths int32 [n] the mask, bool [H, w], in as many columns of the canvas; the first of these."""
        first, end = mask_runs.columns(counts, self.placement.original[0])
        start, stop = tf.unstack(tf.searchsorted(self.columns, tf.stack([first, end])))
        bitmap = mask_runs.decode_columns(counts, self.placement.original[0], first, end)
        bitmap = tf.gather(tf.gather(bitmap, self.columns[start:stop] - first, axis=1), self.rows, axis=0)
        below = [[0, self.canvas[0] - self.placement.shape[0]], [0, 0]]
        band = tf.pad(self.placement.mirrored(bitmap, 0, 1), below) > 0
        return band, tf.where(self.placement.flip_horizontal, self.placement.shape[1] - stop, start)

    def whole(self, band: tf.Tensor, left: tf.Tensor) -> tf.Tensor:
        """The band from column `left` on among zeros, bool [H, W]."""
        right = self.canvas[1] - left - tf.shape(band)[1]
        return tf.ensure_shape(tf.pad(band, [[0, 0], [left, right]]), self.canvas)


def _cover(counts: tf.RaggedTensor, placement: Placement, canvas: tuple[int, int]) -> tf.Tensor:
    """Where any of the masks lies, bool [H, W]; one after the other, bitmaps being large."""
    masks = _Masks(placement, canvas)

    def add(i, cover):
        return i + 1, cover | masks.whole(*masks.band(counts[i]))

    start = tf.zeros([], tf.int64), tf.zeros(canvas, tf.bool)
    return tf.while_loop(lambda i, _: i < counts.nrows(tf.int64), add, start)[1]


def _uncovered(
    objects: dict[str, Any], placement: Placement, cover: tf.Tensor, canvas: tuple[int, int]
) -> dict[str, Any]:
    """Objects without what is covered: their boxes and masks are new where something is, else as before."""
    size, bands = objects["masks"].shape[1], _Masks(placement, canvas)

    def one(inputs):
        counts, box, mask = inputs
        band, left = bands.band(counts)
        over = cover[:, left : left + tf.shape(band)[1]]

        def cut():
            rest = bands.whole(band & ~over, left)
            box = mask_ops.tight_box(rest)
            return box, mask_ops.mask_to_box_frame(rest, box, size), tf.reduce_any(rest)

        return tf.cond(tf.reduce_any(band & over), cut, lambda: (box, mask, tf.constant(True)))

    masks = objects["masks"]
    signature = tf.TensorSpec([4]), tf.TensorSpec(masks.shape[1:], tf.uint8), tf.TensorSpec([], tf.bool)
    given = objects["mask_counts"], objects["boxes"], masks
    boxes, masks, seen = tf.map_fn(one, given, fn_output_signature=signature)
    objects = objects | {"boxes": boxes, "masks": masks}
    if "keypoints" in objects:
        objects["keypoints"] = _hidden(objects["keypoints"], cover)
    return transforms.select_objects(objects, seen)


def _hidden(keypoints: tf.Tensor, cover: tf.Tensor) -> tf.Tensor:
    """Keypoints [g, J, 3]; those that are covered are labelled and not visible (v = 1)."""
    x, y, visibility = tf.unstack(keypoints, axis=-1)
    cells = tf.cast(tf.floor(tf.stack([y, x], -1)), tf.int32)
    covered = tf.gather_nd(cover, tf.clip_by_value(cells, 0, tf.shape(cover) - 1))
    return tf.stack([x, y, tf.where(covered, tf.minimum(visibility, 1.0), visibility)], -1)


def _joined(first: dict[str, Any], second: dict[str, Any], most: int) -> dict[str, Any]:
    return {name: tf.concat([first[name], second[name]], 0)[:most] for name in first}


def _extent(bitmap: tf.Tensor) -> tf.Tensor:
    """int32 [2], the row and the column after the last that has a pixel."""
    return tf.cast(mask_ops.tight_box(bitmap)[2:], tf.int32)
