"""Times inference, the training step or the input pipeline by stage; one JSON line a stage.

python tools/benchmark.py --config mask_rcnn_r50_fpn --height 800 --width 1216 --what inference
python tools/benchmark.py --config mask_rcnn_r50_fpn --what training --batch 2 --config.model.dtype=mixed_bfloat16

The network's input has the height and width given, whatever the preset says. Weights are random unless --weights names
a file; the last layers are scaled so that there is about as much to detect as after training.
"""

import json
import os
import pathlib

from absl import flags

import mask_rcnn_tf
from mask_rcnn_tf.benchmark import inference, scenes, timing, training
from mask_rcnn_tf.training.flags import check_output, define_config, run
from mask_rcnn_tf.weights.loading import load_weights

CONFIG = define_config()
WHAT = flags.DEFINE_enum("what", "inference", ["inference", "training", "loader"], "What is timed.")
HEIGHT = flags.DEFINE_integer("height", 800, "Pixels of the network's input.", lower_bound=32)
WIDTH = flags.DEFINE_integer("width", 1216, "Pixels of the network's input.", lower_bound=32)
BATCH = flags.DEFINE_integer("batch", 1, "Images at a time.", lower_bound=1)
RUNS = flags.DEFINE_integer("runs", 7, "Timed runs of each stage, after one that is not timed.", lower_bound=1)
WEIGHTS = flags.DEFINE_string("weights", None, "Weights to load, .keras or .weights.h5.")
OUTPUT = flags.DEFINE_string("output", None, "File that gets the lines too.")


def measurements(config):
    """The lines of what was asked for."""
    config.train.batch_size = BATCH.value
    if WHAT.value == "loader":
        return training.benchmark_loader(config, RUNS.value)
    preprocess = config.model.preprocess
    preprocess.short_side, preprocess.max_side = sorted((HEIGHT.value, WIDTH.value))
    model = mask_rcnn_tf.MaskRCNN(config.model)
    images = scenes.random_images(BATCH.value, HEIGHT.value, WIDTH.value, model.config.preprocess.pixels)
    if WEIGHTS.value:
        load_weights(model, WEIGHTS.value)
    else:
        scenes.spread_predictions(model, *model.preprocess(images[:1]))
    if WHAT.value == "inference":
        return inference.benchmark_inference(model, images, RUNS.value)
    batch = scenes.labelled_batch(model, BATCH.value, HEIGHT.value, WIDTH.value)
    return training.benchmark_training(model, config, batch, RUNS.value)


def main(_):
    """Prints each line as soon as it is known."""
    config = CONFIG.value
    common = {"what": WHAT.value, "config": config.name, "batch": BATCH.value}
    if WHAT.value != "loader":
        common |= {"height": HEIGHT.value, "width": WIDTH.value}
        common |= {"dtype": config.model.dtype, "kernels": config.model.kernels}
    common |= timing.environment()
    path = pathlib.Path(OUTPUT.value or os.devnull)
    if OUTPUT.value:
        check_output(path)
    with path.open("w") as output:  # before the minutes that measuring takes
        for line in measurements(config):
            text = json.dumps({**line, **common})
            print(text, flush=True)
            print(text, file=output, flush=True)


if __name__ == "__main__":
    run(main)
