"""Cross-validation: a run for each fold of a data set, and their figures together."""

import copy
import json
import logging
import os
import pathlib
import re
import statistics

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.conversion.split_files import TRAIN, VAL
from mask_rcnn_tf.training import fit
from mask_rcnn_tf.training.storage import write_atomically

LOG = logging.getLogger("mask_rcnn_tf")
FOLD = re.compile(r"fold_(\d+)")


def find_folds(folder: str | os.PathLike) -> list[pathlib.Path]:
    """The folders fold_1, fold_2, ... of `tools/split.py --folds`, in their order.

    Raises:
      ValueError: there are not at least two of them, from 1 on, each with train.json and val.json.
    """
    folder = pathlib.Path(folder)
    found = [path for path in folder.iterdir() if FOLD.fullmatch(path.name)] if folder.is_dir() else []
    found.sort(key=lambda path: int(FOLD.fullmatch(path.name)[1]))
    wanted = [folder / f"fold_{number}" for number in range(1, len(found) + 1)]
    lacking = [path / name for path in found for name in (TRAIN, VAL) if not (path / name).is_file()]
    if len(found) < 2 or found != wanted or lacking:
        came = f"without {lacking[0].relative_to(folder)}" if lacking else f"with {len(found)} folds"
        raise ValueError(f"folds is '{folder}', {came}; allowed: a folder of tools/split.py --folds.")
    return found


def train_folds(config: Config, folds: str | os.PathLike, images: str, model_dir: str | os.PathLike) -> dict:
    """Trains a model a fold on all others, in folders of `model_dir`; those that are done are not trained again.

    Args:
      config: of every run, but for its files. The runs have the same seed: they differ by their images alone.
      folds: folder of `tools/split.py --folds`.
      images: folder of all images.
      model_dir: gets fold_1, fold_2, ... as `fit.train` leaves them, and `folds.json`.

    Returns:
      What `folds.json` holds: `folds`, the metrics of each, and `mean` and `std` (of the sample) of each figure of
      all classes together: {"segm": {"AP": ...}}. COCO's -1, where there is nothing to find, is left out.

    Raises:
      See `find_folds`, `fit.train`.
    """
    metrics = []
    for fold in find_folds(folds):
        ours, run = copy.deepcopy(config), pathlib.Path(model_dir) / fold.name
        ours.data.train_annotations, ours.data.val_annotations = str(fold / TRAIN), str(fold / VAL)
        ours.data.train_images = ours.data.val_images = images
        LOG.info("%s", run)
        fit.train(ours, run)
        metrics.append(json.loads((run / "metrics.json").read_text()))
    summary = {"folds": metrics, **summarised(metrics)}
    write_atomically(pathlib.Path(model_dir) / "folds.json", json.dumps(summary, indent=2) + "\n")
    return summary


def summarised(metrics: list[dict[str, dict]]) -> dict[str, dict]:
    """`mean` and `std` of the figures of several runs, as `train_folds` returns them."""
    mean, std = {}, {}
    for kind, table in metrics[0].items():
        for name in (name for name, value in table.items() if isinstance(value, float)):
            values = [each[kind][name] for each in metrics if each[kind][name] >= 0]
            mean.setdefault(kind, {})[name] = statistics.fmean(values) if values else -1.0
            std.setdefault(kind, {})[name] = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": mean, "std": std}
