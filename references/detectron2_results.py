"""COCO results of Detectron2's own program, to compare ours with: it reads, resizes, predicts, pastes and converts.

Needs torch, torchvision (2.14.1 and 0.29.1 were used), Detectron2 (commit 02b5c4e2) with its `configs` linked at
`detectron2/model_zoo/configs`, fvcore, pycocotools, and setuptools before 81 for `pkg_resources`. Detectron2's compiled
module is not called: a source tree with a file `detectron2/_C.py` of one comment on PYTHONPATH will do.

python references/detectron2_results.py --config-file COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml \\
    --weights model_final.pkl --annotations annotations.json --images folder --output results.json \\
    --opts TEST.DETECTIONS_PER_IMAGE 50

Proposals of an RPN alone (COCO-Detection/rpn_R_50_FPN_1x.yaml) are results of category 1, their scores the sigmoid of
the logits. A detector on stored proposals (COCO-Detection/fast_rcnn_R_50_FPN_1x.yaml) needs `--proposals`, a file of
tools/write_proposals.py.
"""

import argparse
import json
import pathlib
import statistics
import time

import numpy as np
import torch
from detectron2 import model_zoo
from detectron2.data.detection_utils import read_image, transform_proposals
from detectron2.engine import DefaultPredictor
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.structures import BoxMode, Instances


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


class StoredProposals:
    """Detectron2's predictor for a model without an RPN, with stored proposals as DatasetMapper gives them.

    Args:
        predictor: As `make_predictor` returns it.
        path: A file of tools/write_proposals.py.
    """

    def __init__(self, predictor, path):
        self.cfg, self.predictor = predictor.cfg, predictor
        with np.load(path) as file:
            self.arrays = dict(file)
        self.ends = np.cumsum(self.arrays["counts"])

    def __call__(self, image, image_id):
        """BGR u8 [H, W, 3] and its id -> {"instances": Instances}."""
        row = int(np.searchsorted(self.arrays["image_ids"], image_id))
        rows = slice(self.ends[row] - self.arrays["counts"][row], self.ends[row])
        transform = self.predictor.aug.get_transform(image)
        resized = transform.apply_image(image)
        inputs = {
            "image": torch.as_tensor(resized.astype("float32").transpose(2, 0, 1)),
            "height": image.shape[0],
            "width": image.shape[1],
            "proposal_boxes": self.arrays["boxes"][rows][:, [1, 0, 3, 2]],
            "proposal_bbox_mode": BoxMode.XYXY_ABS,
            "proposal_objectness_logits": self.arrays["scores"][rows],
        }
        count = self.cfg.DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TEST
        transform_proposals(inputs, resized.shape[:2], transform, proposal_topk=count)
        with torch.no_grad():
            return self.predictor.model([inputs])[0]


def as_detections(proposals):
    """Proposals as detections of one class."""
    logits = proposals.objectness_logits
    fields = {"pred_boxes": proposals.proposal_boxes, "scores": logits.sigmoid()}
    fields["pred_classes"] = torch.zeros(len(logits), dtype=torch.int64)
    return Instances(proposals.image_size, **fields)


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
        stored = isinstance(predictor, StoredProposals)
        found = predictor(image, entry["id"]) if stored else predictor(image)
        instances = as_detections(found["proposals"]) if "proposals" in found else found["instances"]
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
    parser.add_argument("--proposals", help="Of a model without an RPN, a file of tools/write_proposals.py.")
    parser.add_argument("--output", required=True, type=pathlib.Path, help="The results (.json).")
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="Last: NAME VALUE ... of the configuration."
    )
    args = parser.parse_args()
    annotations = json.loads(args.annotations.read_text())
    predictor = make_predictor(args.config_file, args.weights, args.opts)
    if args.proposals:
        predictor = StoredProposals(predictor, args.proposals)
    alone = predictor.cfg.MODEL.META_ARCHITECTURE == "ProposalNetwork"
    ids = [1] if alone else contiguous_categories(annotations, predictor.cfg.MODEL.ROI_HEADS.NUM_CLASSES)
    results, seconds = predict(predictor, annotations["images"], args.images, ids)
    args.output.write_text(json.dumps(results))
    print(f"{len(results)} detections, median {statistics.median(seconds):.2f} s an image: {args.output}")


if __name__ == "__main__":
    main()
