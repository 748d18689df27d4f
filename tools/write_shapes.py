"""Writes the synthetic scenes of the demo as PNG files and annotations.json (COCO).

    python tools/write_shapes.py --split val --output shapes_val --count 50

A folder for what reads images from one: checks of exports, int8 calibration, AP, other programs.
"""

from absl import flags

from mask_rcnn_tf.data import shapes
from mask_rcnn_tf.presets import load_config
from mask_rcnn_tf.training.flags import run

SPLIT = flags.DEFINE_enum("split", "val", shapes.SPLITS, "Scenes of training or of validation.")
OUTPUT = flags.DEFINE_string("output", None, "Folder that is to be; must not exist, or be empty.", required=True)
KEYPOINTS = flags.DEFINE_integer("keypoints", 0, "Of every object, in this order: top, right, bottom, left, centre.")
COUNT = flags.DEFINE_integer("count", None, "The first scenes only; all without it.")


def main(_):
    """Writes and says where."""
    config = load_config("mask_rcnn_shapes")
    config.data.shapes.num_keypoints = KEYPOINTS.value
    config.data.flip_horizontal = config.data.flip_vertical = False  # of whoever reads the folder
    shapes.write_folder(config, SPLIT.value, OUTPUT.value, COUNT.value)
    print(OUTPUT.value)


if __name__ == "__main__":
    run(main)
