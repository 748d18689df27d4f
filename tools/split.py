"""Splits a COCO file by images so that its categories are shared out evenly (docs/data_in.md).

python tools/split.py --annotations a.json --output folder --val_share 0.2
python tools/split.py --annotations a.json --output folder --folds 5

Writes train.json and val.json; or fold_1/train.json, fold_1/val.json and so on. Images stay where they are.
"""

import pathlib

from absl import flags

from mask_rcnn_tf.coco import reader
from mask_rcnn_tf.conversion import split_files
from mask_rcnn_tf.training.flags import check_apart, run

ANNOTATIONS = flags.DEFINE_string("annotations", None, "COCO file.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "Folder for the parts, new or empty.", required=True)
VAL_SHARE = flags.DEFINE_float("val_share", None, "Share of the images in val.json; 0.2 where --folds is not given.")
FOLDS = flags.DEFINE_integer("folds", None, "Number of folds: each image is in one fold's val.json.")
SEED = flags.DEFINE_integer("seed", 0, "Other numbers give other splits.")


def main(_):
    """Splits, and says what is where."""
    check_apart(OUTPUT.value)
    coco = reader.read_annotations(ANNOTATIONS.value)
    output = pathlib.Path(OUTPUT.value)
    if FOLDS.value is not None:
        if VAL_SHARE.value is not None:
            raise ValueError("val_share and folds are given; allowed: one of them.")
        print("\n".join(split_files.write_folds(coco, output, FOLDS.value, SEED.value)))
    else:
        share = 0.2 if VAL_SHARE.value is None else VAL_SHARE.value
        print("\n".join(split_files.write_two(coco, output, share, SEED.value)))


if __name__ == "__main__":
    run(main)
