"""Mask targets of torchvision for RoIs at the borders of images, which our canvases continue with zeros.

    python canvas_oracle.py     -> golden_canvas_border.npz     (torch 2.14.1, torchvision 0.29.1)
"""

import json

import numpy as np
import torch
import torchvision
from recipe import rng
from torchvision.models.detection.roi_heads import project_masks_on_boxes

SHAPES = ((40, 53), (64, 37), (56, 64))  # (h, w) of the images; ours lie on a canvas of 64 x 64
SIDE, OBJECTS = 28, 2


def make_masks(index, height, width):
    """uint8 [2, h, w]: all of the image, and a blob of random pixels that reaches the right and the bottom border."""
    blob = rng(f"canvas{index}").random((height, width)) < 0.7
    blob[: height // 3] = blob[:, : width // 3] = False
    return np.stack([np.ones_like(blob), blob]).astype(np.uint8)


def make_rois(index, height, width):
    """float32 [n, 4] (x1, y1, x2, y2)."""
    h, w = float(height), float(width)
    fixed = [
        (0, 0, w, h),  # all of the image
        (w - 9.3, 3.1, w, 21.7),  # ends exactly at the right border
        (2.2, h - 11.6, 30.4, h),  # at the bottom border
        (w / 2, h / 2, w, h),  # in the corner
        (w - 1, h - 1, w, h),  # the last pixel
        (w - 0.4, h - 0.3, w, h),  # less than it
        (w, h, w, h),  # nothing, at the corner
        (w - 30.5, h - 1, w, h),  # the last row
        (w - 1, h - 33.3, w, h),  # the last column
        (0, 0, 1, 1),  # the first pixel
        (w - 3.25, h - 2.75, w - 0.01, h - 0.01),
        (w - 29, h - 29, w - 1, h - 1),
    ]
    points = rng(f"rois{index}").random((12, 2, 2)) * 1.3  # about four of ten are clipped, as proposals are
    low, high = points.min(1), points.max(1)
    drawn = np.clip(np.concatenate([low, high], 1), 0, 1) * (w, h, w, h)
    return np.concatenate([np.array(fixed), drawn]).astype(np.float32)


def main():
    arrays = {"shapes": np.array(SHAPES, np.int32)}
    for index, shape in enumerate(SHAPES):
        masks, rois = make_masks(index, *shape), make_rois(index, *shape)
        matched = np.arange(len(rois) * OBJECTS) % OBJECTS  # every RoI with every mask
        rois = np.repeat(rois, OBJECTS, axis=0)
        tensors = (torch.from_numpy(value) for value in (masks, rois, matched))
        arrays[f"{index}/masks"], arrays[f"{index}/rois"], arrays[f"{index}/matched"] = masks, rois, matched
        arrays[f"{index}/targets"] = project_masks_on_boxes(*tensors, SIDE).numpy()
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    np.savez_compressed("golden_canvas_border.npz", meta=np.array(json.dumps(versions)), **arrays)


if __name__ == "__main__":
    main()
