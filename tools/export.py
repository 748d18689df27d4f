"""Exports a trained model, once the exported one was seen to find the same on images.

    python tools/export.py --model m.keras --format saved_model --output export/1 --images photos

Nothing is written where the detections differ.
"""

import itertools

from absl import flags

from mask_rcnn_tf import export
from mask_rcnn_tf.evaluation import files
from mask_rcnn_tf.export import check_images
from mask_rcnn_tf.export.canvas import parse_canvas
from mask_rcnn_tf.training.flags import run

MODEL = flags.DEFINE_string("model", None, "Saved model (.keras).", required=True)
FORMAT = flags.DEFINE_enum("format", None, ["saved_model", "tflite", "onnx", "stablehlo"], "Kind.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "File or folder that is to be; must not exist.", required=True)
IMAGES = flags.DEFINE_string(
    "images", None, "Folder of images to compare detections on, and to calibrate int8 with; drawn scenes without it."
)
LIMIT = flags.DEFINE_integer("limit", 8, "How many of the images are compared; calibration takes all.", 1)
CANVAS = flags.DEFINE_list("canvas", None, "H,W of the fixed input (tflite, stablehlo; onnx: for TensorRT).")
DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "saved_model: of weights and layers.")
PASTED = flags.DEFINE_bool("pasted", False, "saved_model: masks as bitmaps of the whole image.")
QUANTIZATION = flags.DEFINE_enum(
    "quantization", "none", ["none", "float16", "dynamic", "int8"], "tflite, onnx: of weights; onnx has none and int8."
)
HEADS_ONLY = flags.DEFINE_bool("heads_only", False, "tflite: the network without NMS, for delegates.")
BATCH = flags.DEFINE_integer("batch", 1, "stablehlo: images a run.", 1)

OPTIONS = {  # a format's own flags
    "saved_model": (DTYPE, PASTED),
    "tflite": (CANVAS, QUANTIZATION, HEADS_ONLY),
    "onnx": (CANVAS, QUANTIZATION),
    "stablehlo": (CANVAS, BATCH),
}


def main(_):
    """Exports and says where."""
    export_model()
    print(f"{FORMAT.value}: {OUTPUT.value}")


def export_model():
    """Reads the model and the images and calls the format's function."""
    options = {flag.name: flag.value for flag in OPTIONS[FORMAT.value]}
    for flag in itertools.chain(*OPTIONS.values()):
        if flag.present and flag.name not in options:
            raise ValueError(f"--{flag.name} is not for --format {FORMAT.value}.")
    if options.get("canvas"):
        options["canvas"] = parse_canvas(options["canvas"])
    model = files.load_model(MODEL.value, with_optimizer=False)
    images = None
    if IMAGES.value:
        images = check_images.read_folder(IMAGES.value, kind=model.config.preprocess.pixels)
        if QUANTIZATION.name in options:
            options["calibration"] = images
        images = images[: LIMIT.value]
    getattr(export, FORMAT.value)(model, OUTPUT.value, images, **options)


if __name__ == "__main__":
    run(main)
