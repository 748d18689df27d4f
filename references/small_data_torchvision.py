"""Trains torchvision's Mask R-CNN for a run of `references/small_data.py`, and writes what it finds as COCO results.

Needs torch, torchvision (2.14.1 and 0.29.1 were used), pillow and pycocotools; `small_data.py` calls it and writes the
job: our configuration of the same model and the same training, and the learning rate of every step.

    python references/small_data_torchvision.py JOB.json             # trains, predicts: losses.jsonl, results.json
    python references/small_data_torchvision.py JOB.json --initial   # writes the weights that a run begins with
"""

import argparse
import json
import os
import pathlib

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from torchvision.models import detection, resnet18
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.transforms.functional import to_tensor
from torchvision_model import keyword_arguments
from torchvision_results import to_results

LEVELS = ["0", "1", "2", "3"]  # torchvision's names of P2..P5
ADAM_EPSILON = 1e-7  # Keras's; torch's is 1e-8


def build(config, seed):
    """torchvision's Mask R-CNN on ResNet-18 with a pyramid, as it starts it from a seed.

    Args:
        config: our `ModelConfig` of the same model, as dict.
        seed: of the weights.

    Returns:
        torch.nn.Module, whose batch norms train.
    """
    torch.manual_seed(seed)
    roi, channels, classes = config["roi"], config["fpn"]["channels"], config["num_classes"] + 1
    if config["rpn"]["channels"] != channels:
        raise ValueError(f"rpn.channels is {config['rpn']['channels']}; allowed: fpn.channels, {channels}.")

    def pooler(head):
        scale = {"canonical_scale": roi["canonical_size"], "canonical_level": roi["canonical_level"]}
        return MultiScaleRoIAlign(LEVELS, config[head]["pool_size"], roi["sampling_ratio"], **scale)

    body = resnet18(weights=None)
    layers = {f"layer{number}": level for number, level in enumerate(LEVELS, 1)}
    backbone = BackboneWithFPN(body, layers, config["backbone"]["stage_channels"], channels)
    units, mask = config["box_head"]["fc_channels"], config["mask_head"]
    return detection.MaskRCNN(
        backbone,
        rpn_batch_size_per_image=config["rpn"]["samples"],
        box_batch_size_per_image=roi["samples"],
        box_roi_pool=pooler("box_head"),
        box_head=TwoMLPHead(channels * config["box_head"]["pool_size"] ** 2, units),
        box_predictor=FastRCNNPredictor(units, classes),
        mask_roi_pool=pooler("mask_head"),
        mask_head=MaskRCNNHeads(channels, [mask["channels"]] * mask["num_convs"], 1),
        mask_predictor=MaskRCNNPredictor(mask["channels"], mask["channels"], classes),
        **keyword_arguments(config),
    )


def read(annotations, folder, category_ids):
    """The images of a COCO file, and what is on them.

    Args:
        annotations: path of the file.
        folder: of its images.
        category_ids: of classes 1..C.

    Returns:
        (row of the file, float32 [3, h, w] of 0..1, target as torchvision takes it) of each image.
    """
    content = json.loads(pathlib.Path(annotations).read_text())
    rows = {image["id"]: [] for image in content["images"]}
    for row in content["annotations"]:
        if not row.get("iscrowd") and min(row["bbox"][2:]) > 0:
            rows[row["image_id"]].append(row)
    examples = []
    for image in content["images"]:
        pixels = to_tensor(Image.open(pathlib.Path(folder) / image["file_name"]).convert("RGB"))
        examples.append((image, pixels, target(rows[image["id"]], pixels.shape[1:], category_ids)))
    return examples


def target(rows, shape, category_ids):
    """Annotations of an image with h and w of `shape`, as torchvision takes them."""
    boxes = np.array([row["bbox"] for row in rows], np.float32).reshape(-1, 4)
    masks = [bitmap(row["segmentation"], *shape) for row in rows]
    return {
        "boxes": torch.from_numpy(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)),
        "labels": torch.tensor([1 + category_ids.index(row["category_id"]) for row in rows], dtype=torch.int64),
        "masks": torch.from_numpy(np.stack(masks) if masks else np.zeros((0, *shape), np.uint8)),
    }


def bitmap(segmentation, height, width):
    """uint8 [h, w] of polygons or an RLE."""
    if isinstance(segmentation, list) or isinstance(segmentation["counts"], list):
        segmentation = coco_mask.frPyObjects(segmentation, height, width)
    segmentation = coco_mask.merge(segmentation) if isinstance(segmentation, list) else segmentation
    return coco_mask.decode(segmentation)


def batches(examples, config):
    """Endless batches of (canvas, images, targets), shuffled and mirrored; as in our pipeline all of one canvas.

    Args:
        examples: of `read`; those without objects are left out.
        config: our `Config` as dict.
    """
    examples = [example for example in examples if len(example[2]["boxes"])]
    waiting, random = {}, np.random.default_rng(config["train"]["seed"])
    while True:
        for index in random.permutation(len(examples)):
            _, pixels, labels = examples[index]
            canvas = canvas_of(pixels.shape[1:], config)
            batch = waiting.setdefault(canvas, [])
            batch.append(mirrored(pixels, labels, *random.random(2) < 0.5))
            if len(batch) == config["train"]["batch_size"]:
                yield canvas, *zip(*batch, strict=True)
                batch.clear()


def canvas_of(shape, config):
    """The smallest canvas (h, w) that holds an image with h and w of `shape` once it is resized."""
    pre = config["model"]["preprocess"]
    scale = min(pre["short_side"] / min(shape), pre["max_side"] / max(shape))
    resized = [int(side * scale + 1e-6) for side in shape]
    canvases = [tuple(canvas) for canvas in config["data"]["canvases"]]
    return min((canvas for canvas in canvases if all(np.less_equal(resized, canvas))), key=np.prod)


def mirrored(pixels, labels, left_right, upside_down):
    """An image and its target, turned around where it is said."""
    boxes, masks = labels["boxes"].clone(), labels["masks"]
    for axis, turned in ((2, left_right), (1, upside_down)):
        if turned:
            pixels, masks, column = pixels.flip(axis), masks.flip(axis), 2 - axis
            boxes[:, [column, column + 2]] = pixels.shape[axis] - boxes[:, [column + 2, column]]
    return pixels, labels | {"boxes": boxes, "masks": masks}


def padded(images, canvas):
    """Images [3, h, w] as a batch on a canvas (h, w); torchvision's own pads to the largest of the batch."""
    batch = images[0].new_zeros((len(images), 3, *canvas))
    for row, image in zip(batch, images, strict=True):
        row[:, : image.shape[1], : image.shape[2]] = image
    return batch


def train(model, examples, job, losses):
    """Adam with clipping, a step for each learning rate of the job; writes a line of losses a step.

    Args:
        model: of `build`.
        examples: of `read`.
        job: `small_data.py` writes it.
        losses: an open file.
    """
    settings = job["config"]["train"]
    weights = list(model.train().parameters())
    optimizer = torch.optim.Adam(weights, betas=(0.9, settings["adam_beta_2"]), eps=ADAM_EPSILON)
    stream = batches(examples, job["config"])
    for step, rate in enumerate(job["learning_rates"]):
        for group in optimizer.param_groups:
            group["lr"] = rate
        canvas, images, targets = next(stream)
        model.transform.batch_images = lambda images, size_divisible, canvas=canvas: padded(images, canvas)
        found = model(images, targets)
        total = sum(found.values())
        if not torch.isfinite(total):
            raise FloatingPointError(f"the loss of step {step} is {total.item()}")
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(weights, settings["clip_norm"])
        optimizer.step()
        values = {"loss": total.item()} | {name: value.item() for name, value in found.items()}
        print(json.dumps({"step": step} | values), file=losses, flush=True)
    del model.transform.batch_images  # predicts as torchvision does


def predict(model, examples, category_ids):
    """COCO results of images, in the file's category ids."""
    model.eval()
    results = []
    for image, pixels, _ in examples:
        with torch.inference_mode():
            found = to_results(model([pixels])[0], image["id"])
        results += [result | {"category_id": category_ids[result["category_id"] - 1]} for result in found]
    return results


def main():
    """Writes initial weights; or trains, and predicts the validation images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", type=pathlib.Path, help="job.json of a run's folder; the other files go beside it")
    parser.add_argument("--initial", action="store_true", help="writes job's `initial` and ends")
    args = parser.parse_args()
    job = json.loads(args.job.read_text())
    data, ids = job["config"]["data"], job["config"]["model"]["category_ids"]
    model = build(job["config"]["model"], job["config"]["train"]["seed"])
    if args.initial:
        torch.save(model.state_dict(), f"{job['initial']}.partial")
        os.replace(f"{job['initial']}.partial", job["initial"])
        return
    model.load_state_dict(torch.load(job["initial"], weights_only=True))
    with open(args.job.with_name("losses.jsonl"), "w") as losses:
        train(model, read(data["train_annotations"], data["train_images"], ids), job, losses)
    results = predict(model, read(data["val_annotations"], data["val_images"], ids), ids)
    args.job.with_name("results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
