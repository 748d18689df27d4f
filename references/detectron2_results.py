"""COCO results of Detectron2's own program, to compare ours with: it reads, resizes, predicts, pastes and converts.

Needs torch, torchvision (2.14.1 and 0.29.1 were used), Detectron2 (commit 02b5c4e2) with its `configs` linked at
`detectron2/model_zoo/configs`, fvcore, pycocotools, and setuptools before 81 for `pkg_resources`. Detectron2's compiled
module is not called: a source tree with a file `detectron2/_C.py` of one comment on PYTHONPATH will do.

python references/detectron2_results.py --config-file COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml \\
    --weights model_final.pkl --annotations annotations.json --images folder --output results.json \\
    --opts TEST.DETECTIONS_PER_IMAGE 50
"""

import argparse
import json
import pathlib
import statistics
import time

from detectron2 import model_zoo
from detectron2.data.detection_utils import read_image
from detectron2.engine import DefaultPredictor
from detectron2.evaluation.coco_evaluation import instances_to_coco_json


def make_predictor(config_file, weights, opts):
    """Detectron2's predictor on the CPU.

    Args:
        config_file: Name in the model zoo.
        weights: Path of a checkpoint.
        opts: Names and values that replace the configuration's, in turn.

    Returns:
        DefaultPredictor: BGR u8 [H, W, 3] -> {"instances": Instances}.
    """
    config = model_zoo.get_config(config_file)
    config.MODEL.DEVICE = "cpu"
    config.merge_from_list(opts)
    config.MODEL.WEIGHTS = str(weights)
    return DefaultPredictor(config)


def contiguous_categories(annotations, num_classes):
    """COCO's id of each class of the model: the ids in order, as Detectron2 registers COCO's datasets.

    Args:
        annotations: Parsed annotation file.
        num_classes: Foreground classes of the model.

    Returns:
        list[int]: Of length `num_classes`.

    Raises:
        ValueError: When the file has another number of categories.
    """
    ids = sorted(category["id"] for category in annotations["categories"])
    if len(ids) != num_classes:
        raise ValueError(f"annotations must have the model's {num_classes} categories, got {len(ids)}.")
    return ids


def predict(predictor, images, folder, ids):
    """COCO results of images, one after another, and the seconds that each took.

    Args:
        predictor: As `make_predictor` returns it.
        images: Entries of the annotation file.
        folder: Where the images are.
        ids: COCO's id of each class.

    Returns:
        (list[dict], list[float]): `bbox` is (x, y, w, h) in pixels of the original, `segmentation` a compressed RLE.
    """
    results, seconds = [], []
    for entry in images:
        image = read_image(folder / entry["file_name"], format="BGR")  # DefaultPredictor converts to INPUT.FORMAT
        start = time.perf_counter()
        instances = predictor(image)["instances"].to("cpu")
        seconds.append(time.perf_counter() - start)
        for result in instances_to_coco_json(instances, entry["id"]):
            results.append(result | {"category_id": ids[result["category_id"]]})
        print(f"{entry['file_name']}: {len(instances)} detections, {seconds[-1]:.2f} s", flush=True)
    return results, seconds


def main():
    """Predicts the images of an annotation file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, help="Name in the model zoo (.yaml).")
    parser.add_argument("--weights", required=True, type=pathlib.Path, help="Checkpoint (.pkl or .pth).")
    parser.add_argument("--annotations", required=True, type=pathlib.Path, help="COCO annotation file.")
    parser.add_argument("--images", required=True, type=pathlib.Path, help="Folder of its images.")
    parser.add_argument("--output", required=True, type=pathlib.Path, help="The results (.json).")
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="Last: NAME VALUE ... of the configuration."
    )
    args = parser.parse_args()
    annotations = json.loads(args.annotations.read_text())
    predictor = make_predictor(args.config_file, args.weights, args.opts)
    ids = contiguous_categories(annotations, predictor.cfg.MODEL.ROI_HEADS.NUM_CLASSES)
    results, seconds = predict(predictor, annotations["images"], args.images, ids)
    args.output.write_text(json.dumps(results))
    print(f"{len(results)} detections, median {statistics.median(seconds):.2f} s an image: {args.output}")


if __name__ == "__main__":
    main()
