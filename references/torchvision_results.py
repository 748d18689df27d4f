"""COCO results of torchvision's own program, to compare ours with: Pillow decodes, its model does the rest.

Needs torch, torchvision (2.14.1 and 0.29.1 were used), pillow, pycocotools and, for .safetensors, safetensors.

    python references/torchvision_results.py --checkpoint recipe.pth --epsilon 0 \
        --annotations instances_val2017.json --images val2017 --output torchvision.json
    python tools/import_weights.py --from torchvision --checkpoint recipe.pth --output recipe.keras
    python tools/evaluate.py --model recipe.keras --annotations instances_val2017.json --images val2017 \
        --output ours_metrics.json --results ours.json
    python tools/compare_results.py --results ours.json --reference torchvision.json --paste integer

Masks above 0.5 become RLE as in torchvision's `references/detection/coco_eval.py`. Keypoints are in COCO's frame, half
a pixel less than torchvision's, as in Detectron2's `coco_evaluation.py`, and scored as there: by the share of the heat
map's softmax at the peak, where torchvision itself gives the logit.
"""

import argparse
import ast
import json
import pathlib
import statistics
import time

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from torchvision.models.detection import roi_heads
from torchvision.transforms.functional import to_tensor
from torchvision_model import MODELS, load, make_anchors


def score_by_share(decode):
    """Makes torchvision's decoding of heat maps score by the share of the softmax over their cells, as Detectron2 does.

    Args:
        decode: `heatmaps_to_keypoints`, maps [n, J, s, s] and boxes [n, 4] -> keypoints [n, J, 3] and logits [n, J].

    Returns:
        The same function but for the second result.
    """

    def decode_with_shares(maps, boxes):
        keypoints, peaks = decode(maps, boxes)
        return keypoints, (peaks - maps.flatten(2).logsumexp(2)).exp()

    return decode_with_shares


def to_results(output, image_id):
    """The detections of one image as COCO results."""
    results = []
    masks = output.get("masks")
    for row, (box, score, label) in enumerate(
        zip(output["boxes"].tolist(), output["scores"].tolist(), output["labels"].tolist(), strict=True)
    ):
        x1, y1, x2, y2 = box
        result = {"image_id": image_id, "category_id": label, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
        if masks is not None:
            mask = (masks[row, 0] > 0.5).numpy().astype(np.uint8)
            rle = coco_mask.encode(np.asfortranarray(mask))
            result["segmentation"] = {"size": list(mask.shape), "counts": rle["counts"].decode("ascii")}
        if "keypoints" in output:
            scores = output["keypoints_scores"][row, :, None]
            keypoints = torch.cat([output["keypoints"][row, :, :2] - 0.5, scores], 1)
            result["keypoints"] = keypoints.flatten().tolist()
        results.append(result)
    return results


def main():
    """Predicts the images of an annotation file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=MODELS[0], choices=MODELS)
    parser.add_argument("--checkpoint", required=True, type=pathlib.Path, help=".pth or .safetensors")
    parser.add_argument("--epsilon", type=float, help="of the backbone's batch norm; needed for a .pth")
    parser.add_argument("--anchor_sizes", type=ast.literal_eval, help="on P2..P6: '((32, 45), (64, 90), ...)'")
    parser.add_argument("--max_detections", type=int, help="an image; torchvision's 100, or the configuration's")
    parser.add_argument("--annotations", required=True, type=pathlib.Path)
    parser.add_argument("--images", required=True, type=pathlib.Path)
    parser.add_argument("--output", required=True, type=pathlib.Path)
    args = parser.parse_args()
    if args.epsilon is None and args.checkpoint.suffix != ".safetensors":
        parser.error("--epsilon is needed: a .pth does not say it.")
    options = {"box_detections_per_img": args.max_detections} if args.max_detections else {}
    if args.anchor_sizes:
        options["rpn_anchor_generator"] = make_anchors(args.anchor_sizes)
    roi_heads.heatmaps_to_keypoints = score_by_share(roi_heads.heatmaps_to_keypoints)
    model = load(args.model, args.checkpoint, args.epsilon, **options)
    annotations = json.loads(args.annotations.read_text())
    # The classes are COCO's ids. Those that no category has (12, 26, ...) are left out, as by tools/evaluate.py.
    known = {category["id"] for category in annotations["categories"]}
    results, seconds = [], []
    for entry in annotations["images"]:
        image = to_tensor(Image.open(args.images / entry["file_name"]).convert("RGB"))
        start = time.perf_counter()
        with torch.inference_mode():
            output = model([image])[0]
        seconds.append(time.perf_counter() - start)
        results += [result for result in to_results(output, entry["id"]) if result["category_id"] in known]
        print(f"{entry['file_name']}: {len(output['boxes'])} detections, {seconds[-1]:.2f} s", flush=True)
    args.output.write_text(json.dumps(results))
    print(f"{len(results)} detections, median {statistics.median(seconds):.2f} s an image: {args.output}")


if __name__ == "__main__":
    main()
