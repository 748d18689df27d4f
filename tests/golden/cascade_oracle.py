"""golden_cascade.npz: one training batch and the detections of Detectron2's Cascade R-CNN R50-FPN, narrow, in float64.

Layers compute in float64; boxes are float32, as always in Detectron2. Samplers take evenly spaced rows in index order.
Needs what `references/detectron2_results.py` names; PYTHONPATH with Detectron2's sources, in this folder:

    python cascade_oracle.py
"""

import json

import cascade_scene as scene
import detectron2_oracle as oracle
import numpy as np
import torch
from detectron2.modeling.roi_heads import cascade_rcnn, roi_heads
from detectron2.structures import BitMasks, Boxes, pairwise_iou
from detectron2.utils.events import EventStorage

RECIPE = "Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml"
OPTIONS = {f"MODEL.{name}": scene.FPN for name in ("FPN.OUT_CHANNELS", "ROI_MASK_HEAD.CONV_DIM")}
OPTIONS = oracle.options_of(scene, **OPTIONS)


def train(dtype, batch):
    """Losses, what each stage trained on, mask targets, gradients."""
    model, found, stages, masks = oracle.build(RECIPE, scene, OPTIONS, dtype).train(), {}, [], []
    run_stage, sample = cascade_rcnn.CascadeROIHeads._run_stage, roi_heads.ROIHeads.label_and_sample_proposals

    def spy_stage(self, features, proposals, stage):
        stages.append(proposals)
        return run_stage(self, features, proposals, stage)

    def spy_sample(self, proposals, targets):
        for b, each in enumerate(proposals):
            found[f"proposals/{b}"] = each.proposal_boxes.tensor.numpy()
        return sample(self, proposals, targets)

    def spy_crop(self, boxes, size):
        masks.append(crop(self, boxes, size))
        return masks[-1]

    crop, BitMasks.crop_and_resize = BitMasks.crop_and_resize, spy_crop
    cascade_rcnn.CascadeROIHeads._run_stage = spy_stage
    roi_heads.ROIHeads.label_and_sample_proposals = spy_sample
    with EventStorage():
        losses = model(batch)
    BitMasks.crop_and_resize, cascade_rcnn.CascadeROIHeads._run_stage = crop, run_stage
    roi_heads.ROIHeads.label_and_sample_proposals = sample
    sum(losses.values()).backward()
    for name, value in losses.items():
        found[f"losses/{name}"] = np.array(value.item())
    found |= {f"mask_targets/{b}": each.numpy() for b, each in enumerate(masks)}
    for k, proposals in enumerate(stages):
        for b, each in enumerate(proposals):
            found[f"stage{k}/{b}/boxes"] = each.proposal_boxes.tensor.numpy()
            found[f"stage{k}/{b}/classes"] = each.gt_classes.numpy()  # C is background
    norms, gradients = oracle.gradients_of(model)
    found |= norms
    samples = [gradient.flatten()[:: max(1, gradient.numel() // 8)][:8].numpy() for gradient in gradients]
    found["grad/sample8"] = np.stack([np.pad(sample, (0, 8 - len(sample))) for sample in samples]).astype(np.float32)
    return found


def margins(found, batch):
    """How far the discrete choices of stages 2 and 3 are from going the other way, and how many are foreground."""
    report = {}
    for k, threshold in ((1, 0.6), (2, 0.7)):
        ious, sides, counts = [], [], []
        for b, each in enumerate(batch):
            boxes = Boxes(torch.from_numpy(found[f"stage{k}/{b}/boxes"]))
            iou = pairwise_iou(each["instances"].gt_boxes, boxes)
            best = iou.sort(0, descending=True).values
            foreground = best[0] >= threshold
            ious += [float((best[0] - threshold).abs().min())]
            ious += [float((best[0] - best[1])[foreground].min())] if foreground.any() else []
            sides.append(float((boxes.tensor[:, 2:] - boxes.tensor[:, :2]).min()))
            counts.append((len(boxes), int(foreground.sum())))
        report[k] = {"iou": min(ious), "side": min(sides), "rows_and_foreground": counts}
    return report


@torch.no_grad()
def detect(dtype, batch):
    found = {}
    for b, each in enumerate(oracle.build(RECIPE, scene, OPTIONS, dtype).eval().inference(batch, do_postprocess=False)):
        found[f"final/{b}/boxes"] = each.pred_boxes.tensor.numpy()
        found[f"final/{b}/scores"] = each.scores.numpy()
        found[f"final/{b}/classes"] = each.pred_classes.numpy()
        found[f"final/{b}/masks"] = each.pred_masks[:, 0].float().numpy()
    return found


def main():
    oracle.prepare((1, 3))
    batch = oracle.masked_batch_of(scene.scenes())
    found, single = train(torch.float64, batch), train(torch.float32, batch)
    found |= detect(torch.float64, batch)
    report = margins(found, batch)
    differences = {n: abs(float(single[n] / found[n]) - 1) for n in found if n.startswith("losses/") and found[n]}
    print({name: float(value) for name, value in found.items() if name.startswith("losses/")})
    print(report, "float32 beside float64:", differences, [len(found[f"final/{b}/scores"]) for b in range(len(batch))])
    print("gradients", np.abs(single["grad/l2"] / np.maximum(found["grad/l2"], 1e-30) - 1).max())
    assert min(each["iou"] for each in report.values()) > 1e-3 and min(each["side"] for each in report.values()) > 1e-2
    meta = {"recipe": RECIPE, "options": OPTIONS, "margins": report, "torch": torch.__version__, "detectron2": "02b5c4e2"}
    np.savez_compressed("golden_cascade.npz", **found, meta=np.array(json.dumps(meta)))


if __name__ == "__main__":
    main()
