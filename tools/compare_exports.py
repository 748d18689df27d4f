"""Compares forms of a model (.keras, SavedModel, TFLite, ONNX, StableHLO) on a folder of images and prints a table.

    python tools/compare_exports.py --a model.keras --b export/1 --b model.tflite --images photos --annotations a.json

Each --b is compared with --a: detections of both, pairs, differences of boxes, scores and masks, AP and its change
(with --annotations), latency, file size and peak memory. Latencies are taken in turns, image by image. A Keras model
gets the canvas of the format it is compared with; the table names it.
"""

import json
import pathlib

from absl import flags

from mask_rcnn_tf.export import comparison
from mask_rcnn_tf.training.flags import check_output, run

A = flags.DEFINE_string("a", None, "What the others are compared with.", required=True)
B = flags.DEFINE_multi_string("b", None, "Another form of the model; may be given several times.", required=True)
IMAGES = flags.DEFINE_string(
    "images", None, "Folder of images (without --annotations also a file or glob).", required=True
)
ANNOTATIONS = flags.DEFINE_string("annotations", None, "COCO-format JSON of the images, for AP.")
LIMIT = flags.DEFINE_integer("limit", None, "The first images only.", 1)
OUTPUT = flags.DEFINE_string("output", None, "Where to write the figures (JSON lines, one a model), if anywhere.")


def main(_):
    """Compares and prints."""
    if OUTPUT.value:
        check_output(OUTPUT.value)
    records = comparison.compare_artefacts(A.value, B.value, IMAGES.value, ANNOTATIONS.value, LIMIT.value)
    if OUTPUT.value:
        pathlib.Path(OUTPUT.value).write_text("".join(json.dumps(record) + "\n" for record in records))
    print(comparison.format_table(records))


if __name__ == "__main__":
    run(main)
