"""Times torchvision's Mask R-CNN R50-FPN on a GPU, on the scenes and weights of `write_programs.py`.

    python benchmarks/gpu/torchvision_times.py --batches 1,2 --output results --modes fp32,tf32,bf16_cl,compiled

Modes: `fp32`; `tf32`, the same with TF32 in convolutions and products; `_cl`: channels last; `bf16`: autocast;
`compiled`: bf16, channels last, with backbone, RPN head and RoI heads' networks under `torch.compile`. Images are on
the device already. A JSON line a mode and task; `results/torchvision_NAME.npz` has the detections or losses of the
first call.
"""

import argparse
import contextlib
import pathlib
import time

import numpy as np
import torch
from figures import print_line
from scenes import CLASSES, make_scenes, make_weights
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone


def build(size, tensors):
    """torchvision's builder with frozen batch norm, epsilon 1e-5, three trainable stages."""
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=3)
    model = MaskRCNN(backbone, CLASSES + 1, min_size=min(size), max_size=max(size))
    model.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    return model


def compile_networks(model, compiler):
    """`torch.compile` for every part of constant shapes, or nearly."""
    heads = model.roi_heads
    model.backbone = compiler(model.backbone)
    model.rpn.head = compiler(model.rpn.head)
    heads.box_head = compiler(heads.box_head, dynamic=True)
    heads.mask_head = compiler(torch.nn.Sequential(heads.mask_head, heads.mask_predictor), dynamic=True)
    heads.mask_predictor = torch.nn.Identity()


def measure(function, calls, device):
    """Milliseconds of each call, and what the first returned."""
    first, times = function(), []
    function()
    for _ in range(calls):
        synchronize(device)
        started = time.perf_counter()
        function()
        synchronize(device)
        times.append((time.perf_counter() - started) * 1e3)
    return times, first


def synchronize(device):
    """Waits for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def inputs(scenes, device):
    """Images and targets as torchvision's models take them, on the device."""
    images = [torch.from_numpy(image).to(device).permute(2, 0, 1).float() / 255 for image in scenes["images"]]
    names = {"boxes": "boxes", "labels": "classes", "masks": "masks"}
    targets = [
        {name: torch.from_numpy(scenes[ours][i]).to(device) for name, ours in names.items()} for i in range(len(images))
    ]
    return images, targets


def last_channels(model):
    """The model with channels last, its images too."""
    batch_images, last = model.transform.batch_images, torch.channels_last
    model.transform.batch_images = lambda *a, **k: batch_images(*a, **k).contiguous(memory_format=last)
    return model.to(memory_format=last)


def calls_of(model, precision, images, targets):
    """{task: the function that is timed}."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, 1e-6, momentum=0.9, weight_decay=1e-4)

    def infer():
        with torch.inference_mode(), precision:
            return model(images)

    def train():
        with precision:
            losses = model(images, targets)
        optimizer.zero_grad(set_to_none=True)
        sum(losses.values()).backward()
        optimizer.step()
        return losses

    return {"inference": infer, "training": train}


def as_arrays(found):
    """Losses by name, or detections by name and image, without the pasted masks."""
    if isinstance(found, list):
        found = {f"{k}_{i}": v for i, image in enumerate(found) for k, v in image.items() if k != "masks"}
    return {name: value.detach().float().cpu().numpy() for name, value in found.items()}


def run(scenes, mode, task, calls, device, output, tensors):
    """Times one mode of one task."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = mode != "fp32"
    torch.backends.cudnn.benchmark = True
    half, last = "bf16" in mode or mode == "compiled", mode.endswith("_cl") or mode == "compiled"
    model = build(scenes["images"].shape[1:3], tensors).to(device)
    if last:
        model = last_channels(model)
    model.train(task == "training")
    images, targets = inputs(scenes, device)
    started = time.perf_counter()
    if mode == "compiled":
        compile_networks(model, torch.compile)
    precision = torch.autocast(device, torch.bfloat16) if half else contextlib.nullcontext()
    call = calls_of(model, precision, images, targets)[task]
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    call()
    synchronize(device)
    compiling = time.perf_counter() - started
    times, first = measure(call, calls, device)
    name, arrays = f"{task}_{mode}_b{len(images)}", as_arrays(first)
    np.savez_compressed(output / f"torchvision_{name}.npz", **arrays)
    print_line(
        f"torchvision, torch {torch.__version__}",
        name,
        torch.cuda.get_device_name() if device == "cuda" else "cpu",
        compiling=compiling,
        times=times,
        images=len(images),
        peak_bytes=torch.cuda.max_memory_allocated() if device == "cuda" else 0,
        results=arrays,
    )


def main():
    """Runs what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--width", type=int, default=1344)
    parser.add_argument("--batches", default="1,2", help="Images at a time, with commas.")
    parser.add_argument("--modes", default="fp32,tf32,bf16_cl,compiled")
    parser.add_argument("--tasks", default="inference,training")
    parser.add_argument("--calls", type=int, default=30, help="Timed calls, after three that are not.")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="A folder.")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tensors = make_weights()
    for batch in map(int, args.batches.split(",")):
        scenes = make_scenes(batch, args.height, args.width)
        for mode in args.modes.split(","):
            for task in args.tasks.split(","):
                run(scenes, mode, task, args.calls, device, args.output, tensors)


if __name__ == "__main__":
    main()
