"""Losses and gradients of torchvision for a batch of scenes of different sizes, which it pads to one canvas.

    python padded_oracle.py     -> golden_train_padded.npz     (torch 2.14.1, torchvision 0.29.1)

Objects of both scenes end at the right and at the bottom border of their image. As `oracle.py train`, but for that.
"""

import json

import numpy as np
import torch
import torchvision
from oracle import EvenSampler, build, to_tensor
from padded_scenes import SCENES, bordered

SETTINGS = {
    "min_size": 160,  # neither scene is resized
    "max_size": 224,
    "rpn_pre_nms_top_n_train": 300,
    "rpn_post_nms_top_n_train": 150,
    "rpn_batch_size_per_image": 256,
    "box_batch_size_per_image": 64,
}


def run(scenes, dtype):
    """Losses by name, and the norm of every gradient by name."""
    model = build(**SETTINGS).to(dtype).train()
    model.rpn.fg_bg_sampler.__class__ = model.roi_heads.fg_bg_sampler.__class__ = EvenSampler
    images = [to_tensor(scene["image"]).to(dtype) for scene in scenes]
    targets = [
        {
            "boxes": torch.from_numpy(scene["boxes"]).to(dtype),
            "labels": torch.from_numpy(scene["labels"]),
            "masks": torch.from_numpy(scene["masks"]),
        }
        for scene in scenes
    ]
    losses = model(images, targets)
    sum(losses.values()).backward()
    norms = {name: float(value.grad.double().norm()) for name, value in model.named_parameters()}
    return {name: value.item() for name, value in losses.items()}, norms


def main():
    scenes = [bordered(*scene) for scene in SCENES]
    arrays = {}
    for prefix, dtype in (("", torch.float32), ("fp64/", torch.float64)):
        losses, norms = run(scenes, dtype)
        arrays |= {f"{prefix}losses/{name}": np.array(value) for name, value in losses.items()}
        arrays |= {f"{prefix}grad/names": np.array(list(norms)), f"{prefix}grad/l2": np.array(list(norms.values()))}
        print(dtype, losses, flush=True)
    print("largest relative difference of a norm:", np.abs(arrays["grad/l2"] / arrays["fp64/grad/l2"] - 1).max())
    meta = {"scenes": SCENES, "settings": SETTINGS, "torch": torch.__version__, "torchvision": torchvision.__version__}
    np.savez_compressed("golden_train_padded.npz", meta=np.array(json.dumps(meta)), **arrays)


if __name__ == "__main__":
    main()
