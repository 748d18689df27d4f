"""Writes what the RPN of a saved model proposes on the images of a COCO file.

python tools/write_proposals.py --model rpn.keras --annotations a.json --images folder --output proposals.npz

Models with --config.model.rpn.enabled=False train on such files (--config.data.train_proposals, val_proposals). Exits
with 1 where images cannot be read: they have no proposals in the file, which is written.
"""

from absl import flags

import mask_rcnn_tf
from mask_rcnn_tf.evaluation import files, propose
from mask_rcnn_tf.models.rpn_alone import rpn_alone
from mask_rcnn_tf.training.flags import check_output, run

MODEL = flags.DEFINE_string("model", None, "Saved model (.keras), an RPN alone or one with heads.", required=True)
ANNOTATIONS = flags.DEFINE_string("annotations", None, "COCO-format JSON.", required=True)
IMAGES = flags.DEFINE_string("images", None, "Folder of its images.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "Where to write the proposals (.npz).", required=True)
COUNT = flags.DEFINE_integer("count", 0, "Proposals an image; 0: as many as the model keeps.", lower_bound=0)


def main(_):
    """Predicts and writes; a wrong argument ends in one line."""
    try:
        check_output(OUTPUT.value)
        model = rpn_alone(files.load_model(MODEL.value), COUNT.value or None)
        predict = mask_rcnn_tf.make_predictor(model)
        count, failures = propose.write_proposals(predict, ANNOTATIONS.value, IMAGES.value, model.config, OUTPUT.value)
    except ValueError as error:
        raise SystemExit(f"write_proposals: {error}") from None
    print(f"{count} proposals: {OUTPUT.value}")
    if failures:
        raise SystemExit("\n".join([*failures, f"{len(failures)} images could not be read and have no proposals."]))


if __name__ == "__main__":
    run(main)
