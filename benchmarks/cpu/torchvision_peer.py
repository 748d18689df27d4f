"""torchvision as a contestant: `python benchmarks/cpu/torchvision_peer.py WHAT ...`, asked by `run.py`.

Modes are words with "_" between them: `cl` is channels last, `bf16` autocast, `compiled` backbone, RPN head and RoI
heads' networks under `torch.compile`, for inference with the weights as constants; `fp32` is none of them.
"""

import contextlib
import pathlib
import sys
import tempfile

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.transforms import v2 as transforms

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import drawn_folder  # noqa: E402
from answering import run_one, serve  # noqa: E402
from drawn_masks import drawn_masks  # noqa: E402
from peer_torchvision import build, calls_of, compile_networks, inputs, last_channels  # noqa: E402
from scenes import make_scenes, make_weights  # noqa: E402


def network(args, task):
    """The call of a task, on the scenes that ours sees, and what is known of it."""
    scenes = make_scenes(args.batch, args.height, args.width)
    model = build((args.height, args.width), make_weights(args.heads), args.heads).train(task == "training")
    if "cl" in args.mode.split("_"):
        model = last_channels(model)
    if "compiled" in args.mode:
        import torch._inductor.config as inductor

        inductor.freezing = task == "inference"
        compile_networks(model, torch.compile)
    half = "bf16" in args.mode.split("_")
    precision = torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext()
    return calls_of(model, precision, *inputs(scenes, "cpu"))[task]


def inference(args):
    """Images to masks of the whole image, or to keypoints."""
    call, found = network(args, "inference"), {}

    def counted():
        found["objects"] = [len(image["scores"]) for image in call()]

    serve({"inference": counted}, lambda: found | {"images": args.batch})


def training(args):
    """A training step on one batch."""
    call, losses = network(args, "training"), {}

    def kept():
        losses.update({name: round(float(value), 4) for name, value in call().items()})

    serve({"step": kept}, lambda: {"images": args.batch, "losses": dict(losses)})


def reading(args):
    """Batches to train on, from the same files: `CocoDetection` and the transforms, resized and flipped with masks."""
    with tempfile.TemporaryDirectory() as folder:
        drawn_folder.write_folder(f"{folder}/drawn", args.images)
        steps = [
            transforms.ToImage(),
            transforms.RandomHorizontalFlip(),
            transforms.Resize(800, max_size=1333, antialias=True),
            transforms.ToDtype(torch.float32, scale=True),
        ]
        data = CocoDetection(
            f"{folder}/drawn/images", f"{folder}/drawn/annotations.json", transforms=transforms.Compose(steps)
        )
        data = wrap_dataset_for_transforms_v2(data, target_keys=("boxes", "labels", "masks"))
        loader = torch.utils.data.DataLoader(data, args.batch, shuffle=True, collate_fn=lambda batch: batch)

        def call():
            for _ in loader:
                pass

        serve({"reading": call}, {"images": args.images})


def masks(args):
    """Masks of detections to run lengths by way of bitmaps of the whole image."""
    probabilities, boxes = drawn_masks(args.objects, args.height, args.width)
    probabilities = torch.from_numpy(probabilities)[:, None]
    boxes = torch.from_numpy(np.ascontiguousarray(boxes[:, [1, 0, 3, 2]]))

    def call():
        bitmaps = (paste_masks_in_image(probabilities, boxes, (args.height, args.width)) > 0.5).numpy().astype(np.uint8)
        return [coco_mask.encode(np.asfortranarray(bitmap[0])) for bitmap in bitmaps]

    serve({"masks": call}, {"objects": args.objects}, 3)


if __name__ == "__main__":
    run_one((inference, training, reading, masks), __doc__, mode="fp32", images=64, heads="masks")
