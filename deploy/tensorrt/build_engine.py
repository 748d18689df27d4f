"""Builds a TensorRT engine from an ONNX file that was exported on a canvas, with TensorRT's Python API (10.0 or later).

    python deploy/tensorrt/build_engine.py model.onnx model.plan --usual_batch 2 --largest_batch 8

It needs `tensorrt` and nothing of `mask_rcnn_tf`. The optimisation profile: every input's batch from 1 to the largest;
all other sides are constants of the file. An engine runs on the kind of GPU and the TensorRT it was built with.
"""

import argparse
import pathlib
import sys


def main(arguments=None):
    """Parses flags and builds; a failure ends in one line on stderr and status 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path, help="ONNX file, exported with --canvas")
    parser.add_argument("engine", type=pathlib.Path, help="file to write")
    parser.add_argument("--usual_batch", type=int, default=1, help="the batch that kernels are chosen for")
    parser.add_argument("--largest_batch", type=int, default=4)
    parser.add_argument("--workspace_gib", type=float, default=4.0, help="GPU memory the builder may use")
    parser.add_argument("--fp16", action="store_true", help="half precision: faster, detections move a little")
    flags = parser.parse_args(arguments)
    try:
        flags.engine.write_bytes(build(flags))
    except (OSError, ValueError) as error:
        sys.exit(f"build_engine: {error}")


def build(flags) -> bytes:
    """The serialized engine.

    Args:
      flags: of `main`.

    Returns:
      What `tensorrt.Runtime.deserialize_cuda_engine` takes.

    Raises:
      ValueError: batches out of order, TensorRT is missing, or it does not take the file.
    """
    if not 1 <= flags.usual_batch <= flags.largest_batch:
        raise ValueError(
            f"usual_batch is {flags.usual_batch}; allowed: 1 to largest_batch, which is {flags.largest_batch}."
        )
    if not 0 < flags.workspace_gib < 2**20:
        raise ValueError(f"workspace_gib is {flags.workspace_gib}; allowed: a number above 0.")
    try:
        import tensorrt as trt
    except ImportError:
        raise ValueError(
            "package tensorrt is missing; allowed: `pip install tensorrt` on a machine with a GPU."
        ) from None
    logger = trt.Logger(trt.Logger.WARNING)
    trt.init_libnvinfer_plugins(logger, "")  # RoiAlign is one of them
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(flags.model.read_bytes()):
        errors = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise ValueError(f"TensorRT {trt.__version__} does not take {flags.model}: {errors}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(flags.workspace_gib * 2**30))
    config.clear_flag(trt.BuilderFlag.TF32)  # 10 bits of mantissa: coarser than our tolerance of scores
    if flags.fp16:
        config.set_flag(trt.BuilderFlag.FP16)
    config.add_optimization_profile(batch_profile(builder, network, flags.usual_batch, flags.largest_batch))
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ValueError(f"TensorRT {trt.__version__} built no engine from {flags.model}; its log says why.")
    return bytes(engine)


def batch_profile(builder, network, usual: int, largest: int):
    """An optimisation profile in which the first axis of every input runs from 1 to `largest`.

    Args:
      builder, network: TensorRT's.
      usual: the batch that kernels are chosen for.
      largest: the most images a run.

    Raises:
      ValueError: a side is not constant: the file was exported without a canvas.
    """
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        sides = tuple(tensor.shape)[1:]
        if min(sides) < 1:
            raise ValueError(
                f"input {tensor.name} has shape {tuple(tensor.shape)}; allowed: only the batch unknown, as in a file "
                "exported with --canvas."
            )
        profile.set_shape(tensor.name, (1, *sides), (usual, *sides), (largest, *sides))
    return profile


if __name__ == "__main__":
    main()
