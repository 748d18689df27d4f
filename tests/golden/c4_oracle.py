"""golden_c4.npz: a training batch and the detections of Detectron2's Mask R-CNN R50-C4, narrow, in float64; and R50-DC5's.

Layers compute in float64; boxes are float32, as always in Detectron2. Samplers take evenly spaced rows in index order.
Needs what `references/detectron2_results.py` names; PYTHONPATH with Detectron2's sources, in this folder:

    python c4_oracle.py
"""

import json

import c4_scene as scene
import numpy as np
import torch
from detectron2 import model_zoo
from detectron2.modeling import build_model, sampling
from detectron2.modeling.proposal_generator import proposal_utils, rpn
from detectron2.modeling.roi_heads import fast_rcnn, roi_heads
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from recipe import evenly
from torchvision.ops import batched_nms

RECIPES = {kind: f"COCO-InstanceSegmentation/mask_rcnn_R_50_{kind}_3x.yaml" for kind in ("C4", "DC5")}
OPTIONS = {
    "MODEL.DEVICE": "cpu",
    "MODEL.BACKBONE.FREEZE_AT": 0,
    "MODEL.PIXEL_STD": list(scene.STD),
    "MODEL.RESNETS.STEM_OUT_CHANNELS": scene.STEM,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": scene.RES2,
    "MODEL.RESNETS.WIDTH_PER_GROUP": scene.WIDTH,
    "MODEL.ROI_BOX_HEAD.FC_DIM": scene.FC,
    "MODEL.ROI_MASK_HEAD.CONV_DIM": scene.MASK,
    "MODEL.ROI_HEADS.NUM_CLASSES": scene.NUM_CLASSES,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": scene.SAMPLES,
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": scene.TOP_N[0],
    "MODEL.RPN.PRE_NMS_TOPK_TEST": scene.TOP_N[0],
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": scene.TOP_N[1],
    "MODEL.RPN.POST_NMS_TOPK_TEST": scene.TOP_N[1],
    "TEST.DETECTIONS_PER_IMAGE": scene.DETECTIONS,
}


def subsample_evenly(labels, count, fraction, background):
    order = torch.arange(len(labels))
    if background == 0:  # anchors, which this package counts for each ratio, for each size: its samples are the same
        order = order.reshape(-1, 5, 3).transpose(1, 2).flatten()
    labels = labels[order]
    positive = order[torch.where((labels != -1) & (labels != background))[0]]
    negative = order[torch.where(labels == background)[0]]
    foreground = min(len(positive), int(count * fraction))
    rest = min(len(negative), count - foreground)
    return (rows[torch.from_numpy(evenly(len(rows), n))] for rows, n in ((positive, foreground), (negative, rest)))


def build(kind, dtype):
    config = model_zoo.get_config(RECIPES[kind])
    config.merge_from_list([item for pair in OPTIONS.items() for item in pair])
    model = build_model(config)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.startswith(("backbone.", "proposal_generator.rpn_head.", "roi_heads.")):
                value.copy_(torch.from_numpy(scene.fill_array(name, tuple(value.shape))))
    return model.to(dtype)


def batch_of(scenes):
    batch = []
    for one in scenes:
        height, width = one["image"].shape[:2]
        found = Instances((height, width), gt_boxes=Boxes(torch.from_numpy(one["boxes"])))
        found.gt_classes = torch.from_numpy(one["labels"]) - 1
        found.gt_masks = BitMasks(torch.from_numpy(one["masks"]).bool())
        image = torch.from_numpy(one["image"][..., ::-1].copy()).permute(2, 0, 1)  # BGR
        batch.append({"image": image, "instances": found, "height": height, "width": width})
    return batch


def train(dtype, batch):
    """Losses, proposals, mask targets, gradients of the C4 model."""
    model, found, masks = build("C4", dtype).train(), {}, []
    sample, crop = roi_heads.ROIHeads.label_and_sample_proposals, BitMasks.crop_and_resize

    def spy_sample(self, proposals, targets):
        for b, each in enumerate(proposals):
            found[f"proposals/{b}"] = each.proposal_boxes.tensor.numpy()
        sampled = sample(self, proposals, targets)
        for b, each in enumerate(sampled):
            found[f"rois/{b}"], found[f"classes/{b}"] = each.proposal_boxes.tensor.numpy(), each.gt_classes.numpy()
        return sampled

    def spy_crop(self, boxes, size):
        masks.append(crop(self, boxes, size))
        return masks[-1]

    roi_heads.ROIHeads.label_and_sample_proposals, BitMasks.crop_and_resize = spy_sample, spy_crop
    with EventStorage():
        losses = model(batch)
    roi_heads.ROIHeads.label_and_sample_proposals, BitMasks.crop_and_resize = sample, crop
    sum(losses.values()).backward()
    found |= {f"mask_targets/{b}": each.numpy() for b, each in enumerate(masks)}
    found |= {f"losses/{name}": np.array(value.item()) for name, value in losses.items()}
    parameters = dict(model.named_parameters())
    found["grad/names"] = np.array(list(parameters))
    found["grad/l2"] = np.array([float(parameter.grad.double().norm()) for parameter in parameters.values()])
    return found


@torch.no_grad()
def detect(kind, dtype, batch):
    found = {}
    for b, each in enumerate(build(kind, dtype).eval().inference(batch, do_postprocess=False)):
        found[f"{kind}/{b}/boxes"] = each.pred_boxes.tensor.numpy()
        found[f"{kind}/{b}/scores"] = each.scores.numpy()
        found[f"{kind}/{b}/classes"] = each.pred_classes.numpy()
        found[f"{kind}/{b}/masks"] = each.pred_masks[:, 0].float().numpy()
    return found


def main():
    for module in (sampling, rpn, roi_heads):
        module.subsample_labels = subsample_evenly
    for module in (proposal_utils, fast_rcnn):  # its own makes boxes float32, and then wants float32 scores
        module.batched_nms = lambda boxes, scores, groups, iou: batched_nms(boxes.double(), scores.double(), groups, iou)
    batch = batch_of(scene.scenes())
    found, single = train(torch.float64, batch), train(torch.float32, batch)
    for kind in RECIPES:
        found |= detect(kind, torch.float64, batch)
        print(kind, [found[f"{kind}/{b}/scores"][:8] for b in range(2)], [len(found[f"{kind}/{b}/scores"]) for b in range(2)])
    print({name: float(value) for name, value in found.items() if name.startswith("losses/")})
    print("foreground", [int((found[f"classes/{b}"] < scene.NUM_CLASSES).sum()) for b in range(2)])
    print("float32 beside float64:", {n: abs(float(single[n] / found[n]) - 1) for n in found if n.startswith("losses/")})
    print("gradients", np.abs(single["grad/l2"] / np.maximum(found["grad/l2"], 1e-30) - 1).max())
    options = {name: value for name, value in OPTIONS.items() if name != "MODEL.DEVICE"}
    meta = {"recipes": RECIPES, "options": options, "torch": torch.__version__, "detectron2": "02b5c4e2"}
    np.savez_compressed("golden_c4.npz", **found, meta=np.array(json.dumps(meta)))


if __name__ == "__main__":
    main()
