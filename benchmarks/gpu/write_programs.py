"""Writes inference and the training step as XLA programs, for a GPU machine that has JAX and no TensorFlow.

    python benchmarks/gpu/write_programs.py --output runs/gpu --height 800 --width 1344 --batches 1,2

For each program the folder gets `NAME.hlo.pb.gz`, the module, and `NAME.npz`, what its parameters are. The weights are
a formula of torchvision's names (`tests/golden/recipe.py`), the images one of their number: `run_programs.py` and
`torchvision_times.py` make the same ones where they run, nothing large travels.

The programs are those of `MaskRCNN.detect` and `MaskRCNN.train_step` with `kernels="xla"` under torchvision's
conventions.
"""

import argparse
import gzip
import pathlib
import sys

import numpy as np
import tensorflow as tf

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from ours_model import build, make_batch, make_config
from scenes import make_scenes, normalized


def separable_index(entry):
    """Where the elements of a variable stand in its flat source: vectors, one an axis, that add up to the index."""
    (source,) = entry.sources
    index = np.asarray(entry.to_ours(np.arange(np.prod(source.shape), dtype=np.int32).reshape(source.shape)))
    origin = (0,) * index.ndim
    offsets = [index[(*origin[:axis], slice(None), *origin[axis + 1 :])] for axis in range(index.ndim)]
    offsets = [offset - (index[origin] if axis else 0) for axis, offset in enumerate(offsets)]
    if not np.array_equal(index, sum(np.ix_(*offsets)) if offsets else index):
        raise ValueError(f"{entry.variable.path} is no separable rearrangement of {source.name}.")
    return offsets


def describe(concrete, entries, variables):
    """{"p3/source": name, "p3/0": offsets, ...} or {"p3": value} of each of `variables` that a program reads."""
    arguments = len(concrete.inputs) - len(concrete.captured_inputs)
    entry_of = {entry.variable.value.handle.ref(): entry for entry in entries}
    # An optimizer's operators take handles, which the graph's list of what is read lacks.
    known = [*concrete.graph.variables, *(variable.value for variable in variables)]
    variable_of = {variable.handle.ref(): variable for variable in known}
    described = {}
    for number, captured in enumerate(concrete.captured_inputs, start=arguments):
        if captured.ref() in entry_of:
            entry = entry_of[captured.ref()]
            described[f"p{number}/source"] = np.str_(entry.sources[0].name)
            described |= {f"p{number}/{axis}": offsets for axis, offsets in enumerate(separable_index(entry))}
        else:  # counters, and the optimizer's state, which is all zeros before the first step
            described[f"p{number}"] = variable_of.get(captured.ref(), captured).numpy()
    return described


def describe_arguments(flat, images):
    """{"p3/images": their shape} of the scenes' normalised images, {"p4": value} of all others."""
    described, images = {}, normalized(images)
    for number, value in enumerate(flat):
        if value.shape == images.shape and np.allclose(value, images, rtol=0, atol=1e-6):
            described[f"p{number}/images"] = np.int32(images.shape)
        else:
            described[f"p{number}"] = value.numpy()
    return described


def write(path, function, arguments, model, entries, images):
    """Lowers one program to `path`.hlo.pb.gz and .npz, and says what its parameters and results are."""
    variables = [*model.variables, *model.optimizer.variables]
    flat = tf.nest.flatten(arguments)

    def program(*flat):
        return function(*tf.nest.pack_sequence_as(arguments, flat))

    compiled = tf.function(program, jit_compile=True, autograph=False)
    concrete = compiled.get_concrete_function(*flat)
    module = compiled.experimental_get_compiler_ir(*flat)(stage="hlo_serialized")
    path.with_name(f"{path.name}.hlo.pb.gz").write_bytes(gzip.compress(module))
    described = describe_arguments(flat, images) | describe(concrete, entries, variables)
    np.savez_compressed(path.with_name(f"{path.name}.npz"), results=sorted(concrete.structured_outputs), **described)
    print(f"{path.name}: {len(module) / 2**20:.1f} MiB, {len(concrete.inputs)} parameters", flush=True)


def main():
    """Writes what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--width", type=int, default=1344)
    parser.add_argument("--batches", default="1,2", help="Images at a time, with commas.")
    parser.add_argument("--dtypes", default="float32,mixed_bfloat16")
    parser.add_argument("--what", default="inference,training")
    frames = {"choices": ("canvas", "box"), "default": "canvas"}
    parser.add_argument("--mask_frame", **frames, help="of labels: torchvision's is the canvas, ours the box")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    for dtype in args.dtypes.split(","):
        config = make_config(dtype, args.height, args.width, kernels="xla")
        config.model.mask_head.mask_frame = args.mask_frame
        model, entries = build(config)
        model.optimizer.build(model.trainable_variables)
        for batch in map(int, args.batches.split(",")):
            scenes = make_scenes(batch, args.height, args.width)
            data = make_batch(model, scenes)
            suffix = f"{ {'float32': 'fp32', 'mixed_bfloat16': 'bf16'}[dtype] }_b{batch}".replace(" ", "")
            if "inference" in args.what:
                images = data["image"], data["image_shape"]
                write(args.output / f"inference_{suffix}", model.detect, images, model, entries, scenes["images"])
            if "training" in args.what:
                write(args.output / f"training_{suffix}", model.train_step, (data,), model, entries, scenes["images"])


if __name__ == "__main__":
    main()
