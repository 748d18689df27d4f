"""What `c4_oracle.py` and `cascade_oracle.py` share: narrow models of Detectron2 with the recipe's weights, and batches.

Layers compute in float64; boxes are float32, as always in Detectron2. Samplers take evenly spaced rows in index order.
"""

import numpy as np
import torch
from detectron2 import model_zoo
from detectron2.modeling import build_model, sampling
from detectron2.modeling.proposal_generator import proposal_utils, rpn
from detectron2.modeling.roi_heads import fast_rcnn, roi_heads
from detectron2.structures import BitMasks, Boxes, Instances
from recipe import evenly
from torchvision.ops import batched_nms


def options_of(scene, **options):
    """Names and values for the configuration: those of a scene's module, and others."""
    return {
        "MODEL.BACKBONE.FREEZE_AT": 0,
        "MODEL.PIXEL_STD": list(scene.STD),
        "MODEL.RESNETS.STEM_OUT_CHANNELS": scene.STEM,
        "MODEL.RESNETS.RES2_OUT_CHANNELS": scene.RES2,
        "MODEL.RESNETS.WIDTH_PER_GROUP": scene.WIDTH,
        "MODEL.ROI_BOX_HEAD.FC_DIM": scene.FC,
        "MODEL.ROI_HEADS.NUM_CLASSES": scene.NUM_CLASSES,
        "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": scene.SAMPLES,
        "MODEL.RPN.PRE_NMS_TOPK_TRAIN": scene.TOP_N[0],
        "MODEL.RPN.PRE_NMS_TOPK_TEST": scene.TOP_N[0],
        "MODEL.RPN.POST_NMS_TOPK_TRAIN": scene.TOP_N[1],
        "MODEL.RPN.POST_NMS_TOPK_TEST": scene.TOP_N[1],
        "TEST.DETECTIONS_PER_IMAGE": scene.DETECTIONS,
        **options,
    }


def prepare(anchors_a_cell):
    """Puts samplers and NMS in place; `anchors_a_cell`: (sizes, ratios)."""
    sizes, ratios = anchors_a_cell

    def subsample_evenly(labels, count, fraction, background):
        order = torch.arange(len(labels))
        if background == 0:  # anchors, which this package counts for each ratio, for each size: its samples are the same
            order = order.reshape(-1, sizes, ratios).transpose(1, 2).flatten()
        labels = labels[order]
        positive = order[torch.where((labels != -1) & (labels != background))[0]]
        negative = order[torch.where(labels == background)[0]]
        foreground = min(len(positive), int(count * fraction))
        rest = min(len(negative), count - foreground)
        return (rows[torch.from_numpy(evenly(len(rows), n))] for rows, n in ((positive, foreground), (negative, rest)))

    for module in (sampling, rpn, roi_heads):
        module.subsample_labels = subsample_evenly
    for module in (proposal_utils, fast_rcnn):  # its own makes boxes float32, and then wants float32 scores
        module.batched_nms = lambda boxes, scores, groups, iou: batched_nms(boxes.double(), scores.double(), groups, iou)


def build(recipe, scene, options, dtype):
    """The zoo's model of that name with the scene's weights."""
    config = model_zoo.get_config(recipe)
    config.merge_from_list([item for pair in options.items() for item in pair] + ["MODEL.DEVICE", "cpu"])
    model = build_model(config)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.startswith(("backbone.", "proposal_generator.rpn_head.", "roi_heads.")):
                value.copy_(torch.from_numpy(scene.fill_array(name, tuple(value.shape))))
    return model.to(dtype)


def batch_of(scenes):
    """Detectron2's inputs, without masks."""
    batch = []
    for one in scenes:
        height, width = one["image"].shape[:2]
        found = Instances((height, width), gt_boxes=Boxes(torch.from_numpy(one["boxes"])))
        found.gt_classes = torch.from_numpy(one["labels"]) - 1
        image = torch.from_numpy(one["image"][..., ::-1].copy()).permute(2, 0, 1)  # BGR
        batch.append({"image": image, "instances": found, "height": height, "width": width})
    return batch


def masked_batch_of(scenes):
    """Detectron2's inputs, with masks as bitmaps."""
    batch = batch_of(scenes)
    for one, row in zip(scenes, batch, strict=True):
        row["instances"].gt_masks = BitMasks(torch.from_numpy(one["masks"]).bool())
    return batch


def gradients_of(model):
    """Names and norms of every parameter's gradient, and the gradients in float64."""
    parameters = dict(model.named_parameters())
    gradients = [parameter.grad.double() for parameter in parameters.values()]
    found = {"grad/names": np.array(list(parameters)), "grad/l2": np.array([float(each.norm()) for each in gradients])}
    return found, gradients
