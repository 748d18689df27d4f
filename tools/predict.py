"""Predicts images: COCO results with file names, and a picture an image.

python tools/predict.py --model m.keras --input photos --output folder
python tools/predict.py --model m.keras --output folder photos/*.jpg more/*.png
python tools/predict.py --model m.keras --input photos --output folder --classes cat,dog --min_score 0.3

Results are in results.partial.jsonl, a line each, until all are found.
"""

import pathlib

from absl import flags

import mask_rcnn_tf
from mask_rcnn_tf import visualize
from mask_rcnn_tf.coco import results as coco_results
from mask_rcnn_tf.evaluation import files, image_files, predicting
from mask_rcnn_tf.ops.decode_image import MAX_PIXELS
from mask_rcnn_tf.training.flags import (
    check_apart,
    check_output,
    define_augmentation,
    define_selection,
    define_tiling,
    run,
)

flags.FLAGS.set_gnu_getopt(True)  # flags may follow the paths, as they do after a pattern that the shell has expanded

MODEL = flags.DEFINE_string("model", None, "Saved model (.keras).", required=True)
INPUT = flags.DEFINE_multi_string("input", [], "An image file, a folder of images, or a glob pattern; more may follow.")
OUTPUT = flags.DEFINE_string("output", None, "Folder for results.json and the pictures.", required=True)
SCORE_THRESHOLD = flags.DEFINE_float("score_threshold", 0.5, "Lowest score that is drawn, not of the results.", 0, 1)
MAX_MEGAPIXELS = flags.DEFINE_float(
    "max_megapixels", MAX_PIXELS / 1e6, "Larger images are left out, undecoded.", lower_bound=0, upper_bound=178
)
AUGMENTATION, SELECTION, TILING = define_augmentation(), define_selection(), define_tiling()


def main(argv):
    """Predicts; a wrong argument ends in one line."""
    sources = [*INPUT.value, *argv[1:]]
    folder = pathlib.Path(OUTPUT.value)
    try:
        images = image_files.find_images(*sources)
        check_apart(folder)  # a second run would take the pictures for images
        drawn = image_files.picture_paths(images, folder)
        check_output(folder / "results.json")
        augmentation, tiling, model = AUGMENTATION(), TILING(), files.load_model(MODEL.value)
        predict = SELECTION(mask_rcnn_tf.make_predictor(model, augmentation), model.config)
    except ValueError as error:
        raise SystemExit(f"predict: {error}") from None
    names = dict(zip(coco_results.category_ids(model.config), model.config.class_names, strict=False))
    skeleton = model.config.keypoint_head.skeleton

    def write_picture(file, image, results):
        picture = visualize.draw_results(image, results, names, SCORE_THRESHOLD.value, skeleton=skeleton)
        visualize.write_image(picture, drawn[file.image_id])

    path, most = folder / "results.json", int(MAX_MEGAPIXELS.value * 1e6)
    try:
        failures, undrawn, found = predicting.write_predictions(
            predict, images, model.config, path, write_picture, most, tiling=tiling
        )
    except (OSError, KeyboardInterrupt) as error:
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else error
        raise SystemExit(f"predict: {reason}; what was found is in {folder / 'results.partial.jsonl'}") from None
    for reason, others in image_files.passed_over(*sources).items():
        print(f"passed over, {reason}: {', '.join(others)}")
    print(found)
    if failures or undrawn:
        ending = f"{len(failures)} of {len(images)} images could not be read." if failures else ""
        raise SystemExit("\n".join(filter(None, [*undrawn, *failures, ending])))


if __name__ == "__main__":
    run(main, takes_paths=True)
