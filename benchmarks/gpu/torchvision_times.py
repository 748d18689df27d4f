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
import sys
import time

import numpy as np
import torch
from figures import print_line

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from peer_torchvision import build, calls_of, compile_networks, inputs, last_channels
from scenes import make_scenes, make_weights


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
