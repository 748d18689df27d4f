"""Trains our Mask R-CNN for a run of `references/small_data.py`, which calls it, and writes what it finds.

python references/small_data_ours.py JOB.json    # losses.jsonl, results.json (COCO results) beside it
"""

import json
import math
import pathlib
import sys

import keras

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import mask_rcnn_tf as mrcnn  # noqa: E402
from mask_rcnn_tf.config import Config, from_dict  # noqa: E402
from mask_rcnn_tf.data import pipeline  # noqa: E402
from mask_rcnn_tf.evaluation import files  # noqa: E402
from mask_rcnn_tf.training.schedule import make_optimizer  # noqa: E402
from mask_rcnn_tf.weights import import_checkpoint  # noqa: E402


class StepLosses(keras.callbacks.Callback):
    """Writes a line with the losses of each step, not their means so far; ends at one that is not finite."""

    def __init__(self, file):
        super().__init__()
        self.file = file

    def on_train_batch_begin(self, batch, logs=None):
        """Forgets the steps before."""
        self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        """Writes the line."""
        values = {name: float(value) for name, value in logs.items()}
        if not math.isfinite(values["loss"]):
            raise FloatingPointError(f"the loss of step {batch} is {values['loss']}")
        print(json.dumps({"step": batch} | values), file=self.file, flush=True)


def build(config, initial):
    """The model of a `Config`, from torchvision's file of initial weights, or where it is "" from its own."""
    keras.utils.set_random_seed(config.train.seed)
    return import_checkpoint("torchvision", initial, config)[0] if initial else mrcnn.MaskRCNN(config.model)


def main():
    """Trains, and predicts the validation images."""
    path = pathlib.Path(sys.argv[1])
    job = json.loads(path.read_text())
    config = from_dict(Config, job["config"], "config")
    model = build(config, job["initial"])
    model.compile(optimizer=make_optimizer(config, model))
    with open(path.with_name("losses.jsonl"), "w") as losses:
        batches, writer = pipeline.train_dataset(config), StepLosses(losses)
        model.fit(batches, steps_per_epoch=config.train.steps, epochs=1, callbacks=[writer], shuffle=False, verbose=0)
    predict, data = mrcnn.make_predictor(model), config.data
    _, results, bad = files.evaluate_files(predict, data.val_annotations, data.val_images, model.config, verbose=0)
    if bad:
        raise SystemExit(files.partial_score(bad))
    path.with_name("results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
