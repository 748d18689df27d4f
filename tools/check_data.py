"""Checks a COCO-format data set: counts, the id map, every bad record, and pictures of the annotations.

python tools/check_data.py --annotations a.json --images dir [--output dir] [--usable usable.json]

Exits with 1 when there are bad records, or the file contradicts itself.
"""

import pathlib
import sys

from absl import flags

from mask_rcnn_tf import visualize
from mask_rcnn_tf.data import check
from mask_rcnn_tf.training.flags import check_apart, check_output, run

FLAGS = flags.FLAGS
flags.DEFINE_string("annotations", None, "COCO-format JSON file.", required=True)
flags.DEFINE_string("images", None, "Folder of the images.", required=True)
flags.DEFINE_string("output", None, "Folder for pictures of the annotations; none are made without it.")
flags.DEFINE_string("usable", None, "Where to write the file without bad annotations, the others repaired.")
flags.DEFINE_integer("pictures", 8, "How many pictures.", lower_bound=0)
flags.DEFINE_integer("max_gt", 100, "Instances an image may have (config.data.max_gt).", lower_bound=1)


def _write(samples: list[check.Sample], output: str):
    folder = pathlib.Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    for sample in samples:
        picture = visualize.draw(sample.image, sample.boxes, sample.labels, sample.masks, None)
        if sample.keypoints is not None:
            factor = picture.shape[0] // sample.image.shape[0]
            picture = visualize.draw_keypoints(picture, sample.keypoints, sample.skeleton, factor)
        visualize.write_image(picture, folder / f"{sample.name}.png")
    print(f"{len(samples)} pictures in {folder}")


def main(_):
    """Runs the check with the command line's flags."""
    pictures = FLAGS.pictures if FLAGS.output else 0
    if FLAGS.usable:
        check_output(FLAGS.usable)
    if FLAGS.output:
        check_apart(FLAGS.output)  # pictures beside the images would replace them
    try:
        text, report, samples = check.check(FLAGS.annotations, FLAGS.images, FLAGS.max_gt, pictures)
        print(text)
        if FLAGS.usable:
            print(check.write_usable(FLAGS.annotations, FLAGS.usable))
    except ValueError as error:
        sys.exit(f"check_data: {error}")
    if FLAGS.output:
        _write(samples, FLAGS.output)
    sys.exit(1 if report.bad or report.unusable else 0)


if __name__ == "__main__":
    run(main)
