"""Predicts images: COCO results with file names, and a picture an image.

python tools/predict.py --model m.keras --input 'photos/*.jpg' --output folder
"""

import functools
import pathlib

from absl import flags

import mask_rcnn_tf
from mask_rcnn_tf import evaluation, visualize
from mask_rcnn_tf.coco import results as coco_results
from mask_rcnn_tf.evaluation import files
from mask_rcnn_tf.training.flags import run

MODEL = flags.DEFINE_string("model", None, "Saved model (.keras).", required=True)
INPUT = flags.DEFINE_string("input", None, "An image file, a folder of images, or a glob pattern.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "Folder for results.json and the pictures.", required=True)
SCORE_THRESHOLD = flags.DEFINE_float("score_threshold", 0.5, "Lowest score that is drawn; results.json has all.")


def main(_):
    """Predicts; a wrong argument ends in one line."""
    try:
        images = files.find_images(INPUT.value)
        model = files.load_model(MODEL.value)
    except ValueError as error:
        raise SystemExit(f"predict: {error}") from None
    folder = pathlib.Path(OUTPUT.value)
    names = dict(zip(coco_results.category_ids(model.config), model.config.class_names, strict=False))

    def write_picture(file, image, results):
        picture = visualize.draw_results(image, results, names, SCORE_THRESHOLD.value)
        visualize.write_image(picture, folder / f"{file.image_id:04d}_{file.path.stem}.jpg")

    predict = functools.partial(mask_rcnn_tf.predict_images, model)
    results, failures = files.predict_files(predict, images, model.config, write_picture)
    evaluation.write_json(results, folder / "results.json")
    print(f"{len(results)} detections on {len(images) - len(failures)} images: {folder / 'results.json'}")
    if failures:
        raise SystemExit("\n".join([*failures, f"{len(failures)} of {len(images)} images could not be read."]))


if __name__ == "__main__":
    run(main)
