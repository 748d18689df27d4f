"""From annotations and images to a trained model: the configuration is read off the data."""

import copy
import json
import logging
import os
import pathlib

from mask_rcnn_tf.arguments import PATH, check_kind
from mask_rcnn_tf.coco import reader
from mask_rcnn_tf.coco.results import write_json
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.conversion import split, split_files
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.presets import load_config
from mask_rcnn_tf.training import data_statistics, fit, pixel_statistics, suggestion
from mask_rcnn_tf.training.storage import write_atomically
from mask_rcnn_tf.weights.loading import load_model

LOG = logging.getLogger("mask_rcnn_tf")
Path = str | os.PathLike
HELD_OUT = 0.2  # of the images, where nothing says which are validated on
PRESET = "suggested.py"


def suggest_config(
    train_annotations: Path, train_images: Path, val_annotations: Path, val_images: Path, any_direction: bool = False
) -> Config:
    """A configuration for `MaskRCNN`, `data.pipeline` and `fit.train` from the data alone.

    Args:
      train_annotations: COCO file to train on. Classes, their names and ids, and keypoints are taken from it.
      train_images: folder of its images.
      val_annotations: COCO file to score on.
      val_images: folder of its images.
      any_direction: whether images have no up and down (microscopy, from above, parts on a table).

    Returns:
      `mask_rcnn_small` with what `suggestion.suggest` says of the training data; validated, and complete.

    Raises:
      ValueError: a file is missing or not COCO, the two have other classes, or nothing in one can be used.
    """
    config = suggestion.configured(_settings(train_annotations, train_images, any_direction))
    return fit.resolve(_with_files(config, (train_annotations, train_images, val_annotations, val_images)))


def train(
    annotations: Path,
    images: Path,
    model_dir: Path,
    *,
    val_annotations: Path = "",
    val_images: Path = "",
    any_direction: bool = False,
    epochs: float = 0.0,
    config: Config | None = None,
) -> MaskRCNN:
    """Trains a model on a COCO file, or goes on with the run that `model_dir` holds.

    What is suggested for the data is written to `suggested.py` there, a preset with its reasons; a run that goes on
    reads it. Everything else is as `fit.train` leaves it.

    Args:
      annotations: COCO file. Classes, their names and ids, and keypoints are taken from it.
      images: folder of its images.
      model_dir: folder of the run; made if it is missing.
      val_annotations: COCO file to score on; "": a fifth of the images is held out of `annotations`, every category in
        it where there are images enough; both parts are files in `model_dir`/data.
      val_images: folder of its images; "": `images`.
      any_direction: whether images have no up and down (microscopy, from above, parts on a table); without `config`.
      epochs: turns through the training images; 0: as the configuration says.
      config: `Config` in place of what is suggested; its files are set here.

    Returns:
      The best model of the run, as `load_model(model_dir)` gives it.

    Raises:
      ValueError, FloatingPointError, OSError, KeyboardInterrupt, SystemExit: see `fit.train`; an argument is of another
        kind, or the folder holds a run on other data.
    """
    for name, value in (("annotations", annotations), ("images", images), ("model_dir", model_dir)):
        check_kind(name, value, PATH, "a path")
    check_kind("config", config, (Config, type(None)), "a Config, or None")
    if config is not None and any_direction:
        raise ValueError("any_direction is True; allowed with config: False, and config.data.right_angles is read.")
    if not val_annotations and val_images:
        raise ValueError(f"val_images is {os.fspath(val_images)!r}; allowed without val_annotations: ''.")
    folder = pathlib.Path(model_dir)
    files = (annotations, images, val_annotations, val_images or images)
    if not val_annotations:
        trained, held_out = _held_out(annotations, folder / "data")
        files = (trained, images, held_out, images)
    if config is None:
        config = _suggested(files[0], images, folder, any_direction)
    config = _with_files(copy.deepcopy(config), files)
    config.train.epochs = epochs or config.train.epochs
    fit.train(config, folder)
    return load_model(folder)


def _with_files(config: Config, files: tuple[Path, Path, Path, Path]) -> Config:
    names = ("train_annotations", "train_images", "val_annotations", "val_images")
    config.data.dataset = "coco_json"
    for name, path in zip(names, files, strict=True):
        check_kind(name, path, PATH, "a path")
        setattr(config.data, name, os.fspath(path))
    return config


def _settings(annotations: Path, images: Path, any_direction: bool) -> list[suggestion.Setting]:
    levels = pixel_statistics.read(annotations, images)
    return suggestion.suggest(data_statistics.read(annotations), any_direction, levels=levels)


def _suggested(annotations: Path, images: Path, folder: pathlib.Path, any_direction: bool) -> Config:
    """From the file in the folder, which is written where there is none."""
    path = folder / PRESET
    if not path.exists():
        settings = _settings(annotations, images, any_direction)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, suggestion.as_preset(settings, os.fspath(annotations)))
        for setting in settings:
            LOG.info("%s = %s: %s", setting.field, setting.value, setting.reason)
    return load_config(os.fspath(path))


def _held_out(annotations: Path, folder: pathlib.Path) -> tuple[str, str]:
    """The files of the two parts; those that are there must be the same.

    Raises:
      ValueError: they are of other annotations.
    """
    coco = reader.read_annotations(annotations)
    parts = split.split(coco, (1 - HELD_OUT, HELD_OUT))
    paths = [folder / name for name in (split_files.TRAIN, split_files.VAL)]
    for path, part in zip(paths, parts, strict=True):
        if not path.exists():
            write_json(part, path)
        elif json.loads(path.read_text()) != part:
            raise ValueError(
                f"model_dir is '{folder.parent}', which holds a run on other annotations than "
                f"{os.fspath(annotations)!r}; allowed: a new folder."
            )
    for line in split.described(coco, parts, [path.name for path in paths]):
        LOG.info("%s", line)
    return str(paths[0]), str(paths[1])
