"""Any COCO-format JSON and image folder as records, as ground truth and as a class map."""

import dataclasses
import functools
import hashlib
import logging
import os
import pathlib

import tensorflow as tf
import tensorflow_datasets as tfds

from mask_rcnn_tf.coco import categories as file_categories
from mask_rcnn_tf.coco import completion, pictures, reader
from mask_rcnn_tf.coco.keypoints import KeypointSet, keypoint_set
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import coco_builder, contents, examples, preparation
from mask_rcnn_tf.data.report import Report

LOG = logging.getLogger("mask_rcnn_tf")


@dataclasses.dataclass(frozen=True)
class _Header:
    """What is needed of an annotation file whenever it is used."""

    digest: str
    category_ids: tuple[int, ...]
    class_names: tuple[str, ...]
    keypoints: KeypointSet
    file_names: tuple[str, ...]
    images: tuple[tuple[int, int, int], ...]


def _header(path: str) -> _Header:
    if not pathlib.Path(path).is_file():
        raise ValueError(f"annotations is {str(path)!r}; there is no such file.")
    state = os.stat(path)
    return _header_of_version(str(path), state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _header_of_version(path: str, size: int, mtime: int) -> _Header:
    coco = reader.read_annotations(path)
    category_ids, class_names = file_categories.table(coco)
    digest = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    file_names = tuple(image["file_name"] for image in coco["images"])
    images = tuple((image["id"], image["height"], image["width"]) for image in coco["images"])
    return _Header(digest, category_ids, class_names, keypoint_set(coco), file_names, images)


def _source(config: Config, split: str) -> tuple[str, str]:
    """Annotation file and image folder of a split."""
    if split not in ("train", "val"):
        raise ValueError(f"split is {split!r}; allowed: 'train', 'val'.")
    fields = (f"{split}_annotations", f"{split}_images")
    for field in fields:
        if not getattr(config.data, field):
            raise ValueError(f"config.data.{field} is ''; allowed: a path.")
    return getattr(config.data, fields[0]), getattr(config.data, fields[1])


def _leading_header(config: Config) -> _Header:
    data = config.data
    if not (data.train_annotations or data.val_annotations):
        raise ValueError("config.data.train_annotations is ''; allowed: the path of a COCO-format JSON file.")
    return _header(data.train_annotations or data.val_annotations)


def categories(config: Config) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The class map: the train file's categories by ascending id (the val file's where no train file is given).

    A trained model's own `config.model.category_ids`, where they are set, come first: its classes mean those ids.

    Args:
      config: `data.train_annotations`, `data.val_annotations`, `model.category_ids`, `model.class_names` are read.

    Returns:
      (category ids, class names) in the order of classes 1..C.

    Raises:
      ValueError: no annotation file, or one has categories that the map lacks or names differently.
    """
    category_ids, class_names, _ = _class_map(config)
    for path in filter(None, (config.data.train_annotations, config.data.val_annotations)):
        _match(config, path)
    return category_ids, class_names


def _class_map(config: Config) -> tuple[tuple[int, ...], tuple[str, ...], bool]:
    """Category ids and names of classes 1..C, and whether all names are known."""
    model, header = config.model, _leading_header(config)
    if not model.category_ids:
        return header.category_ids, header.class_names, True
    if model.class_names:
        return tuple(model.category_ids), tuple(model.class_names), True
    names = dict(zip(header.category_ids, header.class_names, strict=True))
    return tuple(model.category_ids), tuple(names.get(key, str(key)) for key in model.category_ids), False


def _match(config: Config, path: str) -> file_categories.Match:
    """The categories of a file and the classes. Raises ValueError where the file has others."""
    header = _header(path)
    category_ids, class_names, has_names = _class_map(config)
    file = header.category_ids, header.class_names
    found = file_categories.match(file, category_ids, class_names if has_names else ())
    if found.unknown:
        known = dict(zip(category_ids, class_names, strict=True))
        category_id, name = found.unknown[0]
        allowed = f"{known[category_id]!r}" if category_id in known else f"ids {sorted(known)}"
        raise ValueError(
            f"annotations {path} calls category {category_id} {name!r:.80}; allowed by the training file or "
            f"config.model.category_ids: {allowed:.300}.{file_categories.alike(name, class_names)}"
        )
    return found


def category_ids(config: Config, split: str) -> tuple[int | None, ...]:
    """The ids that a split's file has for classes 1..C; None where it lacks one. See `categories` for `Raises`."""
    return _match(config, _source(config, split)[0]).ids


def images(config: Config, split: str) -> tuple[tuple[int, int, int], ...]:
    """(id, height, width) of the images of a split's file, in its order."""
    return _header(_source(config, split)[0]).images


def digest(config: Config, split: str) -> str:
    """SHA-256 of the annotation file of a split."""
    return _header(_source(config, split)[0]).digest


def keypoints(config: Config) -> KeypointSet:
    """Of the train file (of the val file where no train file is given)."""
    return _leading_header(config).keypoints


def _builder(config: Config, split: str) -> coco_builder.CocoJson:
    """The builder of a split, prepared."""
    annotations, images = _source(config, split)
    known, _ = categories(config)
    if config.model.has_classes and len(known) > config.model.num_classes:
        raise ValueError(
            f"config.model.num_classes is {config.model.num_classes}; {annotations} has {len(known)} categories."
        )
    options = examples.ScanOptions(
        category_ids=category_ids(config, split),
        num_keypoints=keypoints(config).count,
        require_masks=config.model.has_masks,
        strict=split == "val",
        channels=config.model.preprocess.channels,
        bits=config.model.preprocess.bits,
    )
    header = _header(annotations)
    paths = {"annotations": os.path.abspath(annotations), "images": os.path.abspath(images)}
    source = contents.Source(split=split, **paths, digest=header.digest, options=dataclasses.asdict(options))
    wanted = coco_builder.CocoJsonConfig(
        name=contents.set_name(source, header.file_names, config.data.data_dir),
        annotations=str(annotations),
        images=str(images),
        split=split,
        options=options,
    )
    builder = preparation.prepare(
        lambda: coco_builder.CocoJson(config=wanted, data_dir=config.data.data_dir or None),
        f"coco_json/{wanted.name}/{coco_builder.CocoJson.VERSION}",
        config.data.data_dir,
    )
    contents.record_use(builder.data_dir, source)
    return builder


def _report(config: Config, split: str, builder: coco_builder.CocoJson) -> Report:
    """The stored report, with today's path of the file: equal contents of another path are not prepared again."""
    stored = Report.from_json(builder.info.metadata["report"])
    return dataclasses.replace(stored, annotations_file=_source(config, split)[0])


def dataset(config: Config, split: str) -> tf.data.Dataset:
    """Records of an annotation file in its order; prepares and caches them on first use, and logs the counts.

    Args:
      config: the experiment.
      split: "train" or "val".

    Returns:
      A finite dataset of records with encoded images, see `data.records`. No crowds; "train" leaves out images without
      annotations if `config.data.skip_empty`.

    Raises:
      ValueError: as in `reader.read_annotations` and `examples.scan`, or nothing is left to train on.
    """
    builder = _builder(config, split)
    report = _report(config, split, builder)
    skip_empty = split == "train" and config.data.skip_empty
    # Who has not asked for logs still learns of records that are left out.
    level = logging.WARNING if report.bad or report.notes else logging.INFO
    path = _source(config, split)[0]
    _say(level, split, path, report.table(config.data.max_gt, skip_empty))
    for line in pictures.fact_lines(report.pictures, config.model.preprocess.pixels):
        _say(logging.WARNING, split, path, line)
    if note := _match(config, path).note:
        _say(logging.WARNING, split, path, note)
    if split == "val" and report.images > report.used_images:
        left = f"{report.images - report.used_images} of {report.images} images"
        text = f"the score is partial: {left} cannot be read, their objects count as not found"
        _say(logging.WARNING, split, path, text)
    stored = builder.as_dataset(
        split=split,
        shuffle_files=False,
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
    )
    if skip_empty:
        stored = stored.filter(lambda example: tf.size(example["classes"]) > 0)
    stored = stored.apply(tf.data.experimental.assert_cardinality(_num_examples(config, split, report)))
    return stored.map(_record, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


@functools.lru_cache(maxsize=256)
def _say(level: int, split: str, path: str, text: str):
    """Logs what is said of a file once: a run asks for its records several times."""
    LOG.log(level, "coco_json %s: %s", split, text)


def num_examples(config: Config, split: str) -> int:
    """How many records `dataset` has."""
    return _num_examples(config, split, report(config, split))


def _num_examples(config: Config, split: str, found: Report) -> int:
    return found.used_images - (split == "train" and config.data.skip_empty) * found.empty


def report(config: Config, split: str) -> Report:
    """The `Report` of a split, complete; prepares the examples on first use."""
    return _report(config, split, _builder(config, split))


def _record(example: dict) -> dict:
    record = dict(example)
    runs, lengths = record.pop("runs"), record.pop("num_runs")
    record["mask_counts"] = tf.RaggedTensor.from_row_lengths(runs, lengths, validate=False)
    return record


def ground_truth(config: Config, split: str) -> dict:
    """What pycocotools scores against: the file's images, categories and annotations, crowds kept.

    Args:
      config: the experiment.
      split: "train" or "val".

    Returns:
      A COCO-format dict, see `completion.complete`.

    Raises:
      ValueError: an annotation has an unknown category or image, or a box or mask that cannot be read, or the file
        contradicts itself.
    """
    return _completed(config, split, need_mask=False, need_keypoints=False)


def _completed(config: Config, split: str, need_mask: bool, need_keypoints: bool) -> dict:
    path, _ = _source(config, split)
    coco = reader.read_annotations(path)
    categories(config)  # raises where the file's categories are not the training's
    num_keypoints = reader.keypoint_count(coco) if need_keypoints else None
    return completion.complete(coco, num_keypoints=num_keypoints, need_mask=need_mask, where=f"annotations {path}")[0]


def check(config: Config) -> dict:
    """Judges both files before anything is trained, and reports all that is wrong with them at once.

    Args:
      config: the experiment.

    Returns:
      The val file as `ground_truth` gives it, with all that the model is scored by.

    Raises:
      ValueError: one of the files cannot be trained on or scored; the message has the reasons of both.
    """
    reasons, truth = [], {}
    steps = (
        lambda: dataset(config, "train"),
        lambda: dataset(config, "val"),
        lambda: truth.update(_completed(config, "val", config.model.has_masks, config.model.has_keypoints)),
    )
    for step in steps:
        try:
            step()
        except ValueError as error:
            reasons.append(str(error))
    if reasons:
        raise ValueError("\n".join(dict.fromkeys(reasons)))
    _warn_of_shared_images(config)
    return truth


def shared_images(config: Config) -> list[str]:
    """Names of the validation images whose contents are trained on too, in the order of their file."""
    names, digests = {}, {}
    for split in ("train", "val"):
        annotations, images = _source(config, split)
        names[split] = _header(annotations).file_names
        digests[split] = contents.image_digests(images, names[split], config.data.data_dir)
    trained = set(digests["train"].values())
    return [name for name in dict.fromkeys(names["val"]) if digests["val"].get(name) in trained]


def _warn_of_shared_images(config: Config):
    """Says which images are validated on that are trained on too: how well a model does elsewhere, they do not show."""
    if shared := shared_images(config):
        LOG.warning(
            "coco_json val: %d of %d validation images are trained on too (first: %s): the score does not say how well "
            "the model does on images that it has not seen",
            len(shared),
            len(set(_header(_source(config, "val")[0]).file_names)),
            f"{shared[0]!r:.80}",
        )
