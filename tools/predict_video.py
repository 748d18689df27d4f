"""Predicts a video or a camera: the drawn video, and lines of COCO results beside it (.jsonl), one a frame.

python tools/predict_video.py --model m.keras --input clip.mp4 --output drawn.mp4 --every 2
python tools/predict_video.py --model m.keras --input 0 --output camera.mp4 --classes cat,dog

The input is a file, the number of a camera, or a URL such as rtsp://...; Ctrl-C ends it, and both files are complete up
to the last frame. Needs OpenCV: pip install "mask_rcnn_tf[video]".
"""

from absl import flags

import mask_rcnn_tf
from mask_rcnn_tf import visualize
from mask_rcnn_tf.coco import results as coco_results
from mask_rcnn_tf.evaluation import files, video
from mask_rcnn_tf.training.flags import check_output, define_augmentation, define_selection, run
from mask_rcnn_tf.training.stopping import Stopping

MODEL = flags.DEFINE_string("model", None, "Saved model (.keras).", required=True)
INPUT = flags.DEFINE_string("input", None, "A video, the number of a camera, or a URL.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "The video that is to be (.mp4).", required=True)
EVERY = flags.DEFINE_integer("every", 1, "Predicts every so many frames; the others are left out.", lower_bound=1)
SCORE_THRESHOLD = flags.DEFINE_float("score_threshold", 0.5, "Lowest score that is drawn.", 0, 1)
AUGMENTATION, SELECTION = define_augmentation(), define_selection()


def main(argv):
    """Predicts; a wrong argument ends in one line."""
    del argv
    video.opencv()  # before the model is loaded
    check_output(OUTPUT.value)
    augmentation, model = AUGMENTATION(), files.load_model(MODEL.value)
    predict = SELECTION(mask_rcnn_tf.make_predictor(model, augmentation), model.config)
    names = dict(zip(coco_results.category_ids(model.config), model.config.class_names, strict=False))
    skeleton = model.config.keypoint_head.skeleton

    def draw(image, results):
        return visualize.draw_results(image, results, names, SCORE_THRESHOLD.value, 1, skeleton=skeleton)

    stopping = Stopping()
    with stopping.handled(lambda: f"{OUTPUT.value} has the frames until then"):
        paths, asked = (INPUT.value, OUTPUT.value), (lambda: stopping.requested)
        print(video.write_video(predict, *paths, draw, EVERY.value, stop=asked))


if __name__ == "__main__":
    run(main)
