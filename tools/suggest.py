"""Looks at a COCO file and proposes sizes, anchors, batch and schedule, and says why.

python tools/suggest.py --annotations train.json --images images --output mine.py
python tools/train.py --config mine.py --model_dir runs/mine --config.data.train_annotations=train.json ...

The file is a preset with the reasons beside the values, to be read and changed.
"""

import os
import pathlib

from absl import flags

from mask_rcnn_tf.training import data_statistics, pixel_statistics, suggestion
from mask_rcnn_tf.training.flags import check_output, run
from mask_rcnn_tf.training.storage import write_atomically

ANNOTATIONS = flags.DEFINE_string("annotations", None, "COCO file to train on.", required=True)
IMAGES = flags.DEFINE_string("images", None, "Folder of its images; without it they are taken for RGB of 8 bits.")
OUTPUT = flags.DEFINE_string("output", None, "Where to write the preset (.py); nothing is written without it.")
ANY_DIRECTION = flags.DEFINE_bool(
    "any_direction", False, "Images have no up and down (microscopy, from above, parts on a table)."
)
PIXELS = flags.DEFINE_integer(
    "pixels", suggestion.PIXELS, "Of an image in the network, at most; four times as many on a GPU.", lower_bound=64**2
)


def main(_):
    """Prints the settings, and writes them."""
    if OUTPUT.value and not OUTPUT.value.endswith(".py"):
        raise ValueError(f"output is {OUTPUT.value!r}; allowed: a path that ends in .py.")
    if OUTPUT.value:
        check_output(OUTPUT.value)
        if os.path.exists(OUTPUT.value):
            raise ValueError(f"output is {OUTPUT.value!r}, which exists; allowed: a new file.")
    levels = pixel_statistics.read(ANNOTATIONS.value, IMAGES.value) if IMAGES.value else None
    statistics = data_statistics.read(ANNOTATIONS.value)
    settings = suggestion.suggest(statistics, ANY_DIRECTION.value, PIXELS.value, levels)
    print(f"mask_rcnn_small, and for {ANNOTATIONS.value}:")
    for setting in settings:
        print(f"  {setting.field} = {setting.value}\n      {setting.reason}")
    if OUTPUT.value:
        write_atomically(pathlib.Path(OUTPUT.value), suggestion.as_preset(settings, ANNOTATIONS.value))
        print(f"--config {OUTPUT.value} has them")


if __name__ == "__main__":
    run(main)
