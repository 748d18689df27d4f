"""Checks a COCO-format data set: counts, the id map, every bad record, and pictures of the annotations.

python tools/check_data.py --annotations a.json --images dir [--output dir] [--usable usable.json]
python tools/check_data.py --annotations a.json --images dir --output dir --config mask_rcnn_small --config.data.hue=0.1

With a configuration augmented.jpg shows the same images as training by it sees them, several times each.
Exits with 1 when there are bad records, or the file contradicts itself.
"""

import pathlib
import sys

from absl import flags

from mask_rcnn_tf import visualize
from mask_rcnn_tf.data import check, check_augmented
from mask_rcnn_tf.training.flags import check_apart, check_output, define_config, run

FLAGS = flags.FLAGS
CONFIG = define_config()
flags.DEFINE_string("annotations", None, "COCO-format JSON file.", required=True)
flags.DEFINE_string("images", None, "Folder of the images.", required=True)
flags.DEFINE_string("output", None, "Folder for pictures of the annotations; none are made without it.")
flags.DEFINE_string("usable", None, "Where to write the file without bad annotations, the others repaired.")
flags.DEFINE_integer("pictures", 8, "How many pictures.", lower_bound=0)
flags.DEFINE_integer("draws", 4, "With --config: how often each is drawn as training sees it.", lower_bound=1)
flags.DEFINE_integer("max_gt", 100, "Instances an image may have (config.data.max_gt).", lower_bound=1)


def _picture(sample: check.Sample):
    picture = visualize.draw(sample.image, sample.boxes, sample.labels, sample.masks, None)
    if sample.keypoints is None:
        return picture
    factor = picture.shape[0] // sample.image.shape[0]
    return visualize.draw_keypoints(picture, sample.keypoints, sample.skeleton, factor)


def _write(samples: list[check.Sample], folder: pathlib.Path):
    folder.mkdir(parents=True, exist_ok=True)
    for sample in samples:
        visualize.write_image(_picture(sample), folder / f"{sample.name}.png")
    print(f"{len(samples)} pictures in {folder}")


def _write_augmented(samples: list[check.Sample], path: pathlib.Path):
    rows = check_augmented.rows(CONFIG.value, FLAGS.annotations, FLAGS.images, samples, FLAGS.draws)
    titles = ["file", *map(str, range(1, FLAGS.draws + 1))]
    visualize.write_image(
        visualize.grid([_picture(sample) for row in rows for sample in row], len(titles), titles), path
    )
    print(f"{len(rows)} images as training sees them in {path}")


def main(_):
    """Runs the check with the command line's flags."""
    with_config = FLAGS["config"].present
    if with_config and not (FLAGS.output and FLAGS.pictures):
        raise ValueError("config is given without pictures; allowed: with --output, and --pictures above 0.")
    if FLAGS.usable:
        check_output(FLAGS.usable)
    if FLAGS.output:
        check_apart(FLAGS.output)  # pictures beside the images would replace them
    pictures = FLAGS.pictures if FLAGS.output else 0
    try:
        text, report, samples = check.check(FLAGS.annotations, FLAGS.images, FLAGS.max_gt, pictures)
        print(text)
        if FLAGS.usable:
            print(check.write_usable(FLAGS.annotations, FLAGS.usable))
    except ValueError as error:
        sys.exit(f"check_data: {error}")
    if FLAGS.output:
        _write(samples, pathlib.Path(FLAGS.output))
    if with_config and not report.unusable:
        _write_augmented(samples, pathlib.Path(FLAGS.output) / "augmented.jpg")
    sys.exit(1 if report.bad or report.unusable else 0)


if __name__ == "__main__":
    run(main, config_required=False)
