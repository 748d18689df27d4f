"""From records to batches: shuffling, augmentation, canvases, and resuming at any step.

The stream of training images is epoch after epoch of shuffled records, each epoch by its own seed; images of rare
classes may come several times in one (`repeats`). They are decoded after it: shuffling holds files, not pixels. Images
of one canvas fill one batch after the other. A resumed run drops from the stream, canvas by canvas, what earlier steps
have used.
"""

import dataclasses
from collections.abc import Callable, Sequence
from numbers import Integral

import tensorflow as tf

from mask_rcnn_tf.arguments import check_kind
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import copy_paste, proposals, records, sources, transforms, viewing, views
from mask_rcnn_tf.data.repeats import Epochs, epochs_of
from mask_rcnn_tf.untuned import untuned

AHEAD = 2  # batches that wait for the model; with masks on the canvas one may take a hundred megabytes

# `Dataset.map` has AutoGraph rewrite what it is given and all that this calls, which takes each process three seconds;
# nothing here has a Python `if` or loop over tensors.
_AS_WRITTEN = tf.autograph.experimental.do_not_convert


@_AS_WRITTEN
def train_dataset(config: Config, start_step: int = 0) -> tf.data.Dataset:
    """Infinite batches for training, the same ones in every run with the same configuration.

    Args:
      config: `data`, `train.batch_size`, `train.seed` and `model.preprocess` are read.
      start_step: batches that earlier runs have used; the first batch here is the one that would follow them.

    Returns:
      Batches of labelled examples (see `transforms.example`), [train.batch_size, ...], all of one canvas.

    Raises:
      ValueError: images may not fit the canvases, flips contradict the keypoints, or there is nothing to train on.
    """
    _check(config)
    config = _with_flip_pairs(config)
    check_kind("start_step", start_step, Integral, "a whole number from 0")
    if start_step < 0:
        raise ValueError(f"start_step is {start_step}; allowed: a whole number from 0.")
    stored = sources.dataset(config, "train")
    num_images = int(stored.cardinality())
    if num_images < 1:
        raise ValueError(f"config.data.dataset {config.data.dataset!r} has no images to train on.")
    epochs = epochs_of(config, num_images)
    first_epoch, surplus = _position(config, stored, epochs, start_step)
    examples = _stream(config, stored, epochs, first_epoch, surplus)
    return untuned(_batched(config, examples, config.train.batch_size, endless=True).prefetch(AHEAD))


@_AS_WRITTEN
def val_dataset(config: Config) -> tf.data.Dataset:
    """Finite labelled batches for scoring: file order, resized as the model asks, no flip, no image left out.

    Args:
      config: `data`, `eval.batch_size` and `model.preprocess` are read.

    Returns:
      Batches of labelled examples, at most [eval.batch_size, ...], all of one canvas; the last of a canvas may be
      short. With several canvases and more than one image a batch, the order is that of full batches.

    Raises:
      ValueError: images may not fit the canvases.
    """
    _check(config)
    config = _replaced(config, scale_jitter=(), right_angles=False, rotation=0.0, crop=1.0)
    find = proposals.finder(config, "val")

    def build(record):
        compacted = _with_proposals(find, _compact(config, record))
        example = _example(config, compacted, transforms.no_augmentation(config))
        return proposals.limited(config, "val", example)

    examples = sources.dataset(config, "val").map(build, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return untuned(_batched(config, examples, config.eval.batch_size, endless=False).prefetch(AHEAD))


@_AS_WRITTEN
def train_examples(config: Config, image_ids: Sequence[int], epochs: int) -> tf.data.Dataset:
    """What training sees of a few images: their examples in `train_dataset`, before these become batches.

    Args:
      config: as in `train_dataset`.
      image_ids: of the images.
      epochs: how many of them, from the first on.

    Returns:
      Examples (see `transforms.example`), epoch after epoch in the order of the run. Other images are not decoded, but
      for what of them is pasted.

    Raises:
      ValueError: as in `train_dataset`.
    """
    _check(config)
    config = _with_flip_pairs(_replaced(config, cache=False))
    stored = sources.dataset(config, "train")
    order = _order(config, stored, epochs_of(config, int(stored.cardinality())))
    stream = tf.data.Dataset.range(epochs).flat_map(order)
    chosen = stream.filter(lambda record: tf.reduce_any(record["image_id"] == tf.constant(image_ids, tf.int64)))
    return untuned(chosen.map(_builder(config), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True))


@_AS_WRITTEN
def val_images(config: Config) -> tf.data.Dataset:
    """The validation images as they are, one by one, for test-time augmentation.

    Args:
      config: `data` and `model.preprocess.pixels` are read.

    Returns:
      Elements with `image` of `model.preprocess.pixels` [h, w, C] and `image_id` int64 [], in file order.

    Raises:
      ValueError: `config` is none.
    """
    check_kind("config", config, Config, "a Config")

    def build(record):
        decoded = records.decoded(record, config.model.preprocess.pixels)
        return {name: decoded[name] for name in ("image", "image_id")}

    return untuned(sources.dataset(config, "val").map(build))


def _check(config: Config):
    check_kind("config", config, Config, "a Config")
    transforms.check_canvases(config)
    found = sources.keypoints(config)
    num_keypoints = found.count
    for name in ("keypoint_flip_pairs", "keypoint_vertical_pairs"):
        pairs = getattr(config.data, name)
        if num_keypoints and not all(0 <= index < num_keypoints for pair in pairs for index in pair):
            raise ValueError(
                f"config.data.{name} is {pairs}; allowed: pairs of indices below the {num_keypoints} keypoints of an "
                "object."
            )
    places = config.data.keypoint_vertical_pairs or found.vertical_pairs
    for name, off in (("right_angles", False), ("rotation", 0.0)) if num_keypoints and places else ():
        if getattr(config.data, name) != off:
            raise ValueError(
                f"config.data.{name} is {getattr(config.data, name)}; allowed where keypoints are places in the image "
                f"(config.data.keypoint_vertical_pairs), which are others once it is turned: {off}."
            )


def _with_flip_pairs(config: Config) -> Config:
    """The configuration with the pairs of keypoints that the data itself gives, where it names none."""
    found, data = sources.keypoints(config), config.data
    return _replaced(
        config,
        keypoint_flip_pairs=data.keypoint_flip_pairs or found.flip_pairs,
        keypoint_vertical_pairs=data.keypoint_vertical_pairs or found.vertical_pairs,
    )


def _replaced(config: Config, **fields) -> Config:
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **fields))


def _compact(config: Config, record: dict) -> dict:
    return transforms.compact(config, records.decoded(record, config.model.preprocess.pixels))


def _with_proposals(find: proposals.Find | None, compacted: dict) -> dict:
    return compacted if find is None else compacted | {"proposals": find(compacted["image_id"])}


def _to_shuffle(config: Config, stored: tf.data.Dataset) -> tf.data.Dataset:
    """Records that wait to be shuffled: encoded, or decoded once, compact and kept in memory."""
    if not config.data.cache:
        return stored
    compact = stored.map(
        lambda record: _compact(config, record), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return compact.cache()


def _shuffled(
    config: Config, dataset: tf.data.Dataset, epochs: Epochs, epoch: tf.Tensor, order: int = 0
) -> tf.data.Dataset:
    """An epoch's elements in its order, or another `order`; it depends on their number, not on what they hold."""
    buffer = tf.minimum(epochs.length(epoch), config.data.shuffle_buffer)
    seed = tf.cast(epoch, tf.int64) * 1_000_003 + config.train.seed + order * 500_009
    # Of the graph of the `flat_map` around this alone: the user's global seed would join in, and fails where it is 0.
    tf.random.set_seed(1)
    return epochs.elements(dataset, epoch).shuffle(buffer, seed=seed, reshuffle_each_iteration=False)


def _stream(
    config: Config, stored: tf.data.Dataset, epochs: Epochs, first_epoch: int, surplus: list[int]
) -> tf.data.Dataset:
    """Endless augmented examples from the start of `first_epoch` on, without the first `surplus[c]` of canvas c."""
    stream = tf.data.Dataset.counter(first_epoch).flat_map(_order(config, stored, epochs))
    if len(surplus) == 1:
        stream = stream.skip(surplus[0])
    elif any(surplus):
        stream = _drop_used(config, stream, surplus)
    return stream.map(_builder(config), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _order(config: Config, stored: tf.data.Dataset, epochs: Epochs) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """A function from an epoch to its records in their order, each with the one that is pasted on it, `other`."""
    waiting = _to_shuffle(config, stored)

    def shuffled(epoch):
        shuffled_records = _shuffled(config, waiting, epochs, epoch)
        if not config.data.copy_paste:
            return shuffled_records
        others = _shuffled(config, waiting, epochs, epoch, order=1)
        pairs = tf.data.Dataset.zip(shuffled_records, others)
        return pairs.map(lambda record, other: record | {"other": other})

    return shuffled


def _builder(config: Config) -> Callable[[dict], dict]:
    """A function from a record of `_order` to its augmented example."""
    find = proposals.finder(config, "train")

    def build(record):
        record = dict(record)
        other, epoch = record.pop("other", None), record.pop("epoch")
        draws = transforms.augment_draws(config, record["image_id"], epoch)
        compacted = record if config.data.cache else _compact(config, record)
        if other is not None:
            other = {key: value for key, value in other.items() if key != "epoch"}
            return _pasted(config, compacted, draws, other, epoch)
        seen = viewing.viewed(config, _with_proposals(find, compacted), draws)
        return proposals.limited(config, "train", _example(config, seen, draws))

    return build


def _drop_used(config: Config, stream: tf.data.Dataset, surplus: list[int]) -> tf.data.Dataset:
    def count_down(remaining, record):
        canvas = _canvas_of(config, records.image_shape(record), record["image_id"], record["epoch"])
        left = remaining - tf.one_hot(canvas, len(surplus), dtype=tf.int64)
        return tf.maximum(left, 0), (record, left[canvas] < 0)

    counted = stream.scan(tf.constant(surplus, tf.int64), count_down)
    return counted.filter(lambda record, keep: keep).map(lambda record, keep: record)


def _canvas_of(config: Config, image_shape: tf.Tensor, image_id: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
    draws = transforms.augment_draws(config, image_id, epoch)
    shape = views.viewed_shape(image_shape, draws)
    return transforms.canvas_index(config, transforms.resized_shape(config, shape, draws))


def _position(config: Config, stored: tf.data.Dataset, epochs: Epochs, start_step: int) -> tuple[int, list[int]]:
    """Where in the stream a run stands before `start_step`.

    Returns:
      The epoch to start from and, for each canvas, how many of its images from there on have been used.
    """
    size, num_canvases = config.train.batch_size, len(config.data.canvases)
    if start_step == 0:
        return 0, [0] * num_canvases
    if num_canvases == 1:
        epoch, used = epochs.position(start_step * size)
        return epoch, [used]
    shapes = stored.map(lambda record: {"shape": records.image_shape(record), "image_id": record["image_id"]})
    shapes = shapes.apply(tf.data.experimental.assert_cardinality(epochs.num_images)).cache()
    filled, seen_before, batches = [0] * num_canvases, [], 0
    for canvases in _canvases_of_epochs(config, shapes, epochs).as_numpy_iterator():
        seen_before.append(list(filled))
        for canvas in canvases:
            filled[canvas] += 1
            batches += filled[canvas] % size == 0
            if batches == start_step:
                return _epoch_to_resume(seen_before, [count // size * size for count in filled])
    raise AssertionError("the stream has no end")


def _canvases_of_epochs(config: Config, shapes: tf.data.Dataset, epochs: Epochs) -> tf.data.Dataset:
    """The canvas of each image in the order of the stream, int64 [n] an epoch, without end."""

    def of_epoch(epoch):
        order = _shuffled(config, shapes, epochs, epoch)
        canvases = order.map(lambda one: _canvas_of(config, one["shape"], one["image_id"], one["epoch"]))
        return canvases.batch(epochs.length(epoch))

    return tf.data.Dataset.counter().flat_map(of_epoch)


def _epoch_to_resume(seen_before: list[list[int]], used: list[int]) -> tuple[int, list[int]]:
    """The last epoch before which nothing unused was seen, and what of it has been used."""
    for epoch in reversed(range(len(seen_before))):
        surplus = [count - seen for count, seen in zip(used, seen_before[epoch], strict=True)]
        if min(surplus) >= 0:
            return epoch, surplus
    raise AssertionError("nothing was seen before epoch 0")


def _example(config: Config, compacted: dict, draws: dict) -> dict:
    canvases = transforms.sorted_canvases(config)
    if len(canvases) == 1:
        return transforms.example(config, compacted, draws, canvases[0])
    shape = transforms.resized_shape(config, tf.shape(compacted["image"])[:2], draws)
    index = transforms.canvas_index(config, shape)
    height, width = tf.unstack(tf.constant(canvases, tf.int32)[index])
    return transforms.example(config, compacted, draws, (height, width)) | {"canvas": index}


def _pasted(config: Config, compacted: dict, draws: dict, other: dict, epoch: tf.Tensor) -> dict:
    """An example with objects of another record on it, whose augmentation is not that of its own turn in the epoch."""
    other_draws = transforms.augment_draws(config, other["image_id"], -1 - epoch)
    chosen = copy_paste.paste_draws(config, compacted["image_id"], epoch)
    images = (compacted, draws), (other if config.data.cache else _compact(config, other), other_draws)
    images = tuple(viewing.viewed(config, image, drawn) for image, drawn in images)
    canvas = transforms.sorted_canvases(config)[0]
    return copy_paste.pasted_example(config, images, (draws, other_draws), chosen, canvas)


def _batched(config: Config, examples: tf.data.Dataset, size: int, endless: bool) -> tf.data.Dataset:
    """Batches in which all images share a canvas."""
    if len(config.data.canvases) == 1:
        return examples.batch(size, drop_remainder=endless)
    batches = examples.group_by_window(
        key_func=lambda example: example["canvas"],
        reduce_func=lambda canvas, window: window.batch(size, drop_remainder=endless),
        window_size=size,
    )
    return batches.map(lambda batch: {key: value for key, value in batch.items() if key != "canvas"})
