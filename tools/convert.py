"""Converts annotations of other tools to a COCO file, or from one format to another (docs/data_in.md).

python tools/convert.py --from labelme --input folder --output annotations.json
"""

import pathlib

from absl import flags

from mask_rcnn_tf.conversion import formats
from mask_rcnn_tf.conversion.labelled import Options
from mask_rcnn_tf.training.flags import check_apart, check_output, run

FROM = flags.DEFINE_enum("from", None, tuple(formats.SOURCES), "Format of the annotations.", required=True)
TO = flags.DEFINE_enum("to", "coco", formats.TARGETS, "Format that is written.")
INPUT = flags.DEFINE_string("input", None, "Folder or file of the annotations.", required=True)
IMAGES = flags.DEFINE_string("images", None, "Folder of the images, where they are not where the format has them.")
OUTPUT = flags.DEFINE_string("output", None, "COCO file, or folder of another format.", required=True)
SPLIT = flags.DEFINE_string("split", "", "Part of the images, as the format calls it, such as train; '' for all.")
CATEGORY = flags.DEFINE_string("category", "object", "Of objects that have no name in their format, as label images.")
ATTRIBUTE = flags.DEFINE_string(
    "attribute", "", "VIA: the region attribute that is the category, where it has several."
)
AS_MASKS = flags.DEFINE_bool("boxes_as_masks", False, "A rectangle is the object's mask, not a box around it.")


def main(_):
    """Converts, and says what was written and what was left out."""
    if TO.value == "coco":
        check_output(OUTPUT.value)
    else:
        check_apart(OUTPUT.value)
    images = pathlib.Path(IMAGES.value) if IMAGES.value else None
    options = Options(images, SPLIT.value, CATEGORY.value, ATTRIBUTE.value, AS_MASKS.value)
    print("\n".join(formats.convert(FROM.value, INPUT.value, TO.value, OUTPUT.value, options)))


if __name__ == "__main__":
    run(main)
