"""Runs the programs of `write_programs.py` on whatever device JAX has, and times them. TensorFlow is not needed.

    python benchmarks/gpu/run_programs.py runs/gpu/inference_fp32_b1 runs/gpu/training_fp32_b1 --output results

A JSON line a program: seconds of compiling; median, lowest and highest milliseconds of a call, inputs on the device
already; images a second; the device's peak memory since the process began.
`results/NAME_results.npz` has the results of the first call: detections, or losses.
"""

import argparse
import collections
import gzip
import json
import pathlib
import re
import sys
import tempfile
import time

import jax
import numpy as np
from figures import print_line

jax.config.update("jax_enable_x64", True)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import jaxlib._jax as jaxlib_core  # noqa: E402
from jax._src.interpreters import mlir as jax_mlir  # noqa: E402
from jax._src.lib import xla_client  # noqa: E402
from jaxlib.mlir import ir  # noqa: E402
from scenes import make_scenes, make_weights, normalized  # noqa: E402

NAMES = {"i64": "int64", "i32": "int32", "ui8": "uint8", "i1": "bool", "f32": "float32", "bf16": "bfloat16"}


def read_module(path):
    """The module's bytecode; (shape, dtype) of each parameter; {parameter: the result that replaces it}."""
    data = gzip.decompress(path.read_bytes())
    with jax_mlir.make_ir_context():
        parsed = ir.Module.parse(jaxlib_core.mlir.hlo_to_stablehlo(data))
        drop_copies(parsed.operation)
        text = str(parsed.operation.get_asm(large_elements_limit=4))
        module = jax_mlir.module_to_bytecode(parsed)
    header = re.search(r"func\.func (?:public )?@main\((.*?)\)\s*->", text, re.S).group(1)
    kinds = [spec.split("x") for spec in re.findall(r"%arg\d+: tensor<([^>]*)>", header)]
    pairs = re.findall(r"parameter_number = (\d+) : i64\}, output_index = array<i64: (\d+)>", text)
    return module, [(tuple(map(int, k[:-1])), NAMES[k[-1]]) for k in kinds], {int(p): int(r) for p, r in pairs}


def drop_copies(operation):
    """Takes out `mhlo.copy`, which TensorFlow writes between a variable's old and new value and StableHLO lacks."""
    for region in operation.regions:
        for block in region.blocks:
            for inner in list(block.operations):
                drop_copies(inner.operation)
                if inner.operation.name == "mhlo.copy":
                    inner.operation.results[0].replace_all_uses_with(inner.operation.operands[0])
                    inner.operation.erase()


def parameter(described, number, kind, tensors):
    """The value of a parameter: given, the scenes' images, or a rearrangement of one of the recipe's tensors."""
    shape, dtype = kind
    if f"p{number}" in described:
        value = described[f"p{number}"]
    elif f"p{number}/images" in described:
        value = normalized(make_scenes(*described[f"p{number}/images"][:3].tolist())["images"])
    else:
        offsets = [described[f"p{number}/{axis}"] for axis in range(len(shape))]
        value = tensors[str(described[f"p{number}/source"])].ravel()[sum(np.ix_(*offsets))]
    if value.shape != shape:
        raise ValueError(f"Parameter {number} is {value.shape}, the program wants {shape}.")
    return jax.numpy.asarray(value, dtype)


def profile(call, path):
    """Writes what a call spends on the device: [microseconds, times run, name, the operation it came from]."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            call()
        (file,) = pathlib.Path(folder).rglob("*.xplane.pb")
        planes = list(jax.profiler.ProfileData.from_file(str(file)).planes)
        total = collections.defaultdict(lambda: [0.0, 0, ""])
        for plane in planes:
            if not plane.name.startswith("/device:"):
                continue
            for event in (event for line in plane.lines if line.name.startswith("Stream") for event in line.events):
                entry, stats = total[event.name], dict(event.stats)
                entry[0], entry[1] = entry[0] + event.duration_ns / 1e3, entry[1] + 1
                entry[2] = str(stats.get("tf_op") or stats.get("name") or stats.get("hlo_op") or "")
        kernels = sorted(([round(us, 1), n, name, op] for name, (us, n, op) in total.items()), reverse=True)
        path.write_text(
            json.dumps({"planes": [(p.name, [x.name for x in p.lines]) for p in planes], "kernels": kernels})
        )


def run(path, tensors, calls, output, trace):
    """Runs and times one program."""
    device = jax.devices()[0]
    module, kinds, aliases = read_module(path.with_suffix(".hlo.pb.gz"))
    described = dict(np.load(path.with_suffix(".npz")))
    started = time.perf_counter()
    executable = device.client.compile_and_load(module, xla_client.DeviceList((device,)), xla_client.CompileOptions())
    compiling = time.perf_counter() - started
    values = [jax.device_put(parameter(described, i, kind, tensors), device) for i, kind in enumerate(kinds)]

    def call():
        results = [result[0] for result in executable.execute_sharded(values).disassemble_into_single_device_arrays()]
        for number, result in aliases.items():
            values[number] = results[result]
        jax.block_until_ready(results)
        return results

    names = [str(name) for name in described["results"]]
    first = {name: np.asarray(value, copy=True) for name, value in zip(names, call(), strict=False)}
    np.savez_compressed(output / f"{path.name}_results.npz", **first)
    call()
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1e3)
    if trace:
        profile(call, output / f"{path.name}_kernels.json")
    print_line(
        "mask_rcnn_tf",
        path.name,
        device.device_kind,
        compiling=compiling,
        times=times,
        images=next(shape[0] for shape, _ in kinds if len(shape) == 4),
        peak_bytes=(device.memory_stats() or {}).get("peak_bytes_in_use", 0),
        results=first,
    )


def main():
    """Runs what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="+", type=pathlib.Path, help="Paths without .hlo.pb.gz.")
    parser.add_argument("--calls", type=int, default=30, help="Timed calls, after two that are not.")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="A folder.")
    parser.add_argument("--trace", action="store_true", help="Writes a profile of a call too.")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    tensors = make_weights()
    for path in args.programs:
        run(path, tensors, args.calls, args.output, args.trace)


if __name__ == "__main__":
    main()
