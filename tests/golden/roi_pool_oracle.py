"""RoIPool of torchvision, its gradient too, for RoIs of every kind.

    python roi_pool_oracle.py     -> golden_roi_pool.npz     (torch 2.14.1, torchvision 0.29.1)
"""

import json

import numpy as np
import torch
import torchvision
from recipe import rng

SCALE, SIZE = 0.25, (7, 5)


def make_rois():
    """float32 [n, 5] (image, x1, y1, x2, y2), pixels of 96 x 80."""
    fixed = [
        (0, 0, 0, 80, 96),
        (1, 3.2, 5.1, 40.9, 33.3),
        (0, 10, 10, 10, 10),  # nothing: one feature pixel
        (1, 60, 70, 120, 130),  # partly outside
        (0, -30, -20, 12, 14),
        (1, 200, 200, 240, 260),  # wholly outside
        (0, -90, -90, -40, -40),
        (1, 6, 6, 10, 10),  # halves: 1.5 and 2.5 feature pixels
        (0, 79.9, 95.9, 80, 96),
        (1, 2, 40, 78, 41),
    ]
    points = rng("roi_pool").random((30, 2, 2)) * (100, 120) - 10
    low, high = points.min(1), points.max(1)
    drawn = np.concatenate([np.arange(30)[:, None] % 2, low, high], 1)
    return np.concatenate([np.array(fixed), drawn]).astype(np.float32)


def main():
    features = rng("roi_pool_x").normal(size=(2, 6, 24, 20)).astype(np.float32)
    x = torch.from_numpy(features).requires_grad_()
    rois = torch.from_numpy(make_rois())
    y = torchvision.ops.roi_pool(x, rois, SIZE, SCALE)
    upstream = rng("roi_pool_dy").normal(size=tuple(y.shape)).astype(np.float32)
    y.backward(torch.from_numpy(upstream))
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    arrays = {"x": features, "rois": rois.numpy(), "y": y.detach().numpy(), "dy": upstream, "dx": x.grad.numpy()}
    np.savez_compressed("golden_roi_pool.npz", meta=np.array(json.dumps(versions)), **arrays)


if __name__ == "__main__":
    main()
