"""golden_c4.npz: a training batch and the detections of Detectron2's Mask R-CNN R50-C4, narrow, in float64; and R50-DC5's.

Layers compute in float64; boxes are float32, as always in Detectron2. Samplers take evenly spaced rows in index order.
Needs what `references/detectron2_results.py` names; PYTHONPATH with Detectron2's sources, in this folder:

    python c4_oracle.py
"""

import json

import c4_scene as scene
import detectron2_oracle as oracle
import numpy as np
import torch
from detectron2.modeling.roi_heads import roi_heads
from detectron2.structures import BitMasks
from detectron2.utils.events import EventStorage

RECIPES = {kind: f"COCO-InstanceSegmentation/mask_rcnn_R_50_{kind}_3x.yaml" for kind in ("C4", "DC5")}
OPTIONS = oracle.options_of(scene, **{"MODEL.ROI_MASK_HEAD.CONV_DIM": scene.MASK})


def train(dtype, batch):
    """Losses, proposals, mask targets, gradients of the C4 model."""
    model, found, masks = oracle.build(RECIPES["C4"], scene, OPTIONS, dtype).train(), {}, []
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
    return found | oracle.gradients_of(model)[0]


@torch.no_grad()
def detect(kind, dtype, batch):
    found = {}
    for b, each in enumerate(oracle.build(RECIPES[kind], scene, OPTIONS, dtype).eval().inference(batch, do_postprocess=False)):
        found[f"{kind}/{b}/boxes"] = each.pred_boxes.tensor.numpy()
        found[f"{kind}/{b}/scores"] = each.scores.numpy()
        found[f"{kind}/{b}/classes"] = each.pred_classes.numpy()
        found[f"{kind}/{b}/masks"] = each.pred_masks[:, 0].float().numpy()
    return found


def main():
    oracle.prepare((5, 3))
    batch = oracle.masked_batch_of(scene.scenes())
    found, single = train(torch.float64, batch), train(torch.float32, batch)
    for kind in RECIPES:
        found |= detect(kind, torch.float64, batch)
        print(kind, [found[f"{kind}/{b}/scores"][:8] for b in range(2)], [len(found[f"{kind}/{b}/scores"]) for b in range(2)])
    print({name: float(value) for name, value in found.items() if name.startswith("losses/")})
    print("foreground", [int((found[f"classes/{b}"] < scene.NUM_CLASSES).sum()) for b in range(2)])
    print("float32 beside float64:", {n: abs(float(single[n] / found[n]) - 1) for n in found if n.startswith("losses/")})
    print("gradients", np.abs(single["grad/l2"] / np.maximum(found["grad/l2"], 1e-30) - 1).max())
    meta = {"recipes": RECIPES, "options": OPTIONS, "torch": torch.__version__, "detectron2": "02b5c4e2"}
    np.savez_compressed("golden_c4.npz", **found, meta=np.array(json.dumps(meta)))


if __name__ == "__main__":
    main()
