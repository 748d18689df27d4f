"""Labels images by a model: COCO annotations of the best of what it finds, and with the labelled ones as one file.

python tools/distill.py --model m.keras --images unlabelled --labelled train.json --labelled_images photos \
    --short_sides 640,800,960 --output distilled.json --together both.json

As many objects an image are kept in the mean as the labelled file has.
"""

from absl import flags

import mask_rcnn_tf
from mask_rcnn_tf import evaluation
from mask_rcnn_tf.coco import reader
from mask_rcnn_tf.evaluation import distillation, files, image_files
from mask_rcnn_tf.training.flags import check_output, define_augmentation, run

MODEL = flags.DEFINE_string("model", None, "Saved model (.keras).", required=True)
IMAGES = flags.DEFINE_string("images", None, "Folder of the images without labels.", required=True)
LABELLED = flags.DEFINE_string("labelled", None, "COCO-format JSON of the labelled images.", required=True)
LABELLED_IMAGES = flags.DEFINE_string("labelled_images", None, "Folder of these; asked for by --together.")
OUTPUT = flags.DEFINE_string("output", None, "Where to write what was found (COCO JSON).", required=True)
TOGETHER = flags.DEFINE_string("together", None, "Where to write both (COCO JSON), if anywhere.")
AUGMENTATION = define_augmentation()


def main(_):
    """Predicts and writes; a wrong argument ends in one line."""
    if TOGETHER.value and not LABELLED_IMAGES.value:
        raise SystemExit("distill: labelled_images is missing; --together needs the folder of the labelled images.")
    try:
        labelled, found_files = reader.read_annotations(LABELLED.value), image_files.find_images(IMAGES.value)
        distillation.objects_per_image(labelled)  # before the model is loaded
        for path in filter(None, (OUTPUT.value, TOGETHER.value)):
            check_output(path)
        augmentation, model = AUGMENTATION(), files.load_model(MODEL.value)
        predict = mask_rcnn_tf.make_predictor(model, augmentation)
        found, score, failures = distillation.distill(predict, found_files, model.config, labelled)
        evaluation.write_json(found, OUTPUT.value)
        kept = f"{len(found['annotations'])} objects on {len(found['images'])} images"
        print(f"{kept}, the worst of score {score:.3f}: {OUTPUT.value}")
        if TOGETHER.value:
            both, root = distillation.together(labelled, LABELLED_IMAGES.value, found, IMAGES.value)
            evaluation.write_json(both, TOGETHER.value)
            print(f"with the labelled ones, for --config.data.train_images={root}: {TOGETHER.value}")
    except ValueError as error:
        raise SystemExit(f"distill: {error}") from None
    if failures:
        raise SystemExit("\n".join([*failures, f"{len(failures)} of {len(found_files)} images could not be read."]))


if __name__ == "__main__":
    run(main)
