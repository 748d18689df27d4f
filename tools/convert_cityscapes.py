"""Writes a split of Cityscapes as a COCO file; or results on one as Cityscapes' own programs read them.

python tools/convert_cityscapes.py --root cityscapes --split val --output val.json
python tools/convert_cityscapes.py --annotations val.json --results results.json --output submission
"""

from absl import flags

from mask_rcnn_tf import evaluation
from mask_rcnn_tf.coco import reader
from mask_rcnn_tf.data import cityscapes
from mask_rcnn_tf.evaluation import cityscapes_results
from mask_rcnn_tf.training.flags import check_output, run

ROOT = flags.DEFINE_string("root", None, "Cityscapes: the folder with leftImg8bit and gtFine in it.")
SPLIT = flags.DEFINE_enum("split", "train", cityscapes.SPLITS, "Of the images.")
QUALITY = flags.DEFINE_enum("quality", "gtFine", ("gtFine", "gtCoarse"), "Of the annotations.")
ANNOTATIONS = flags.DEFINE_string("annotations", None, "With --results: the COCO file that this tool wrote.")
RESULTS = flags.DEFINE_string("results", None, "COCO results with masks, as tools/evaluate.py writes them.")
OUTPUT = flags.DEFINE_string("output", None, "The COCO file, or the folder of the results.", required=True)


def main(_):
    """Writes and says what."""
    if (ROOT.value is None) == (RESULTS.value is None) or (RESULTS.value is None) != (ANNOTATIONS.value is None):
        raise SystemExit("convert_cityscapes: allowed: --root, or --annotations and --results.")
    if RESULTS.value:
        ground_truth, results = reader.read_annotations(ANNOTATIONS.value), reader.read_results(RESULTS.value)
        count = cityscapes_results.write_results(ground_truth, results, OUTPUT.value)
        print(f"{count} masks of {len(ground_truth['images'])} images: {OUTPUT.value}")
        return
    check_output(OUTPUT.value)
    found = cityscapes.to_coco(ROOT.value, SPLIT.value, QUALITY.value)
    evaluation.write_json(found, OUTPUT.value)
    crowds = sum(annotation["iscrowd"] for annotation in found["annotations"])
    objects = len(found["annotations"]) - crowds
    print(f"{len(found['images'])} images, {objects} objects, {crowds} groups: {OUTPUT.value}")
    print(f"their folder: {cityscapes.images_folder(ROOT.value, SPLIT.value)}")


if __name__ == "__main__":
    run(main)
