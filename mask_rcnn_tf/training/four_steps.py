"""RPN and detector in turns, until they share a backbone: four runs in folders of their own, and one model of them.

Source: Ren et al., arXiv:1506.01497, section 3.2, "4-Step Alternating Training".
"""

import copy
import logging
import os
import pathlib
from collections.abc import Callable

import numpy as np

from mask_rcnn_tf.coco import proposals as coco_proposals
from mask_rcnn_tf.coco import results as coco_results
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import records, sources
from mask_rcnn_tf.data.pipeline import val_dataset
from mask_rcnn_tf.evaluation import evaluate
from mask_rcnn_tf.evaluation.files import load_model
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.models.prediction import make_predictor
from mask_rcnn_tf.models.rpn_alone import rpn_alone, rpn_config
from mask_rcnn_tf.models.variable_paths import stable_paths
from mask_rcnn_tf.progress import Progress
from mask_rcnn_tf.training.checkpoint import save_model
from mask_rcnn_tf.training.fit import resolve, train
from mask_rcnn_tf.training.run_folder import as_json, read_object

LOG = logging.getLogger("mask_rcnn_tf")
STEPS = ("1_rpn", "2_detector", "3_rpn", "4_detector")
RPN = "rpn_head/"  # what paths of the RPN's own variables begin with


def train_four_steps(config: Config, model_dir: str | os.PathLike) -> MaskRCNN:
    """Trains the four steps, or what is left of them, and joins and scores what they made.

    Step 1 trains an RPN, and step 2 a detector on its proposals, each from `train.init_from`. Step 3 trains an RPN on
    the frozen backbone of step 2's detector, and step 4 goes on with the detector's own layers on the proposals of
    that, with the same backbone frozen. Each is a run of `config.train`'s length. In `model_dir` are their folders,
    `proposals_1_train.npz` and so on, and at the end `model.keras`, which holds all parts, and `metrics.json`.

    Args:
      config: of the whole model; it is copied.
      model_dir: folder; made if it is missing.

    Returns:
      The model.

    Raises:
      As `fit.train`.
    """
    folder = pathlib.Path(model_dir)
    _run_steps(STEPS, config, folder)
    model = unite(
        resolve(config), load_model(folder / STEPS[3] / "model.keras"), load_model(folder / STEPS[2] / "model.keras")
    )
    save_model(model, folder / "model.keras")
    metrics = _score(model, config)
    coco_results.write_json(metrics, folder / "metrics.json")
    return model


def train_separately(config: Config, model_dir: str | os.PathLike):
    """Trains the first two steps, or what is left of them: an RPN and a detector that share nothing.

    The paper's way for its ablations (section 3.1). In `model_dir` are the folders of the two and the proposals;
    `metrics.json` has the detector's score on the proposals of the RPN.

    Args:
      config: of the whole model; it is copied.
      model_dir: folder; made if it is missing.

    Raises:
      As `fit.train`.
    """
    folder = pathlib.Path(model_dir)
    _run_steps(STEPS[:2], config, folder)
    metrics = read_object(folder / STEPS[1] / "metrics.json")
    coco_results.write_json(metrics, folder / "metrics.json")


def _run_steps(names: tuple[str, ...], config: Config, folder: pathlib.Path):
    steps = step_configs(config, folder)
    for name in names:
        LOG.info("step %s of %d", name.replace("_", ": "), len(names))
        _run(steps[name], folder / name, _proposing(name, config, folder))


def step_configs(config: Config, model_dir: str | os.PathLike) -> dict[str, Config]:
    """The configuration of each step, by the name of its folder in `model_dir`."""
    config.validate()
    if not (config.model.rpn.enabled and config.model.has_classes):
        raise ValueError(
            "config.model.rpn.enabled and box_head.enabled: one is False; allowed: both, which train in turns."
        )
    folder = pathlib.Path(model_dir)
    shared = ("backbone", *("pyramid",) * config.model.fpn.enabled)
    steps = {}
    for name in STEPS:
        step = steps[name] = copy.deepcopy(config)
        if name.endswith("rpn"):
            step.model, step.eval.max_dets = rpn_config(config.model, _kept(config)), (100, 1000)
            step.eval.augmentation.short_sides = ()
        else:
            step.model.rpn.enabled, step.eval.augmentation.short_sides = False, ()
            step.data.train_proposals, step.data.val_proposals = (
                str(_file(folder, int(name[0]) - 1, split)) for split in ("train", "val")
            )
        if name[0] in "34":
            step.model.frozen = shared
            step.train.init_from = str(folder / STEPS[1] / "model.keras")
    return steps


def _kept(config: Config) -> int:
    """Proposals of an image that are stored."""
    return max(config.model.rpn.post_nms_top_n_train, config.model.rpn.post_nms_top_n_test)


def _file(folder: pathlib.Path, step: int, split: str) -> pathlib.Path:
    return folder / f"proposals_{step}_{split}.npz"


def _proposing(name: str, config: Config, folder: pathlib.Path) -> dict[pathlib.Path, Callable[[MaskRCNN], None]]:
    """What writes the proposals of a step, by file; nothing for a detector."""
    if not name.endswith("rpn"):
        return {}
    files = {split: _file(folder, int(name[0]), split) for split in ("train", "val")}
    return {
        path: lambda model, split=split, path=path: propose(model, config, split, path) for split, path in files.items()
    }


def _run(config: Config, folder: pathlib.Path, proposing: dict[pathlib.Path, Callable[[MaskRCNN], None]]):
    """Trains a step that is not done, and writes what it proposes where it is not there."""
    if not _is_done(config, folder):
        for path in proposing:  # of a run that is gone
            path.unlink(missing_ok=True)
        train(config, folder)
    missing = [path for path in proposing if not path.exists()]
    if missing:
        model = load_model(folder / "model.keras")
        for path in missing:
            proposing[path](model)


def _is_done(config: Config, folder: pathlib.Path) -> bool:
    """Whether a folder holds the end of a run of the same configuration."""
    if not (folder / "metrics.json").exists():
        return False
    same = read_object(folder / "config.json") == as_json(resolve(config))
    return same and (folder / "model.keras").exists()


def propose(model: MaskRCNN, config: Config, split: str, path: str | os.PathLike):
    """Writes the proposals of a split of a data set, of any kind.

    Args:
      model: with an RPN.
      config: `data` is read.
      split: "train" or "val".
      path: of the .npz file. Images that are not read in training, as those without annotations, have no proposals.
    """
    LOG.info("proposals of %s: %s", split, path)
    predict, nothing = make_predictor(rpn_alone(model, _kept(config))), np.zeros((0, 4), np.float32)
    rows = {number: (number, (h, w), nothing, nothing[:, 0]) for number, h, w in sources.images(config, split)}
    progress = Progress(None, "image")
    for record in sources.dataset(config, split):
        image = records.decoded(record, config.model.preprocess.pixels)["image"].numpy()
        (found,) = predict([image])
        number = int(record["image_id"])
        rows[number] = (*rows[number][:2], found["detection_boxes"], found["detection_scores"])
        progress.add(1)
    coco_proposals.write(path, rows.values())


def unite(config: Config, detector: MaskRCNN, proposer: MaskRCNN) -> MaskRCNN:
    """One model of a detector without an RPN and an RPN on the same backbone.

    Args:
      config: resolved, of the whole model.
      detector: gives all variables but the RPN's.
      proposer: gives these.

    Raises:
      ValueError: their backbones differ, or a variable is in neither.
    """
    model = MaskRCNN(config.model)
    values = _by_path(detector)
    for path, value in _by_path(proposer).items():
        if path.startswith(RPN):
            values[path] = value
        elif not np.array_equal(values.get(path), value):
            raise ValueError(f"{path} is not the same in both models; allowed: a backbone that they share.")
    paths = stable_paths(model.weights)
    if missing := [path for path in paths if path not in values]:
        raise ValueError(f"{', '.join(missing)}: in none of the models.")
    for path, variable in zip(paths, model.weights, strict=True):
        variable.assign(values[path])
    return model


def _by_path(model):
    return dict(zip(stable_paths(model.weights), map(np.asarray, model.weights), strict=True))


def _score(model: MaskRCNN, config: Config) -> dict[str, dict]:
    config = resolve(config)
    sigmas = config.model.keypoint_head.sigmas or None
    truth, ids = sources.ground_truth(config, "val"), sources.category_ids(config, "val")
    options = {"sigmas": sigmas if config.model.has_keypoints else None, "verbose": 0}
    metrics, _ = evaluate(
        model, val_dataset(config), truth, ids, config.model.iou_types, config.eval.max_dets, **options
    )
    for kind in config.model.iou_types:
        LOG.info("%s AP %.4f, AP50 %.4f", kind, metrics[kind]["AP"], metrics[kind]["AP50"])
    return metrics
