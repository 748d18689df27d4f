"""Programs that run our ONNX files: `python benchmarks/cpu/onnx_peer.py RUNTIME --file F ...`, asked by `run.py`."""

import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from answering import run_one, serve  # noqa: E402
from scenes import make_scenes  # noqa: E402


def answer(args, run, names):
    """Serves a graph; it is given those of the possible inputs that it has names for.

    Args:
      args: of the command line.
      run: from a dict of arrays to the number of detections of each image.
      names: of the graph's inputs.
    """
    images, found = make_scenes(args.batch, args.height, args.width)["images"], {}
    shapes = np.tile(np.array([images.shape[1:3]], np.int32), (args.batch, 1))
    # torchvision's preprocessing does not round: its canvas is float32.
    given = {"images": images, "image": images.astype(np.float32), "image_shape": shapes, "original_shape": shapes}

    def call():
        found["objects"] = run({name: given[name] for name in names}).tolist()

    serve({"detections": call}, lambda: found | {"images": args.batch})


def onnxruntime(args):
    """ONNX Runtime on the processor."""
    import onnxruntime as runtime

    session = runtime.InferenceSession(args.file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(inputs):
        return dict(zip(names, session.run(names, inputs), strict=True))["num_detections"]

    answer(args, run, [item.name for item in session.get_inputs()])


def openvino(args):
    """OpenVINO on the processor, which takes bfloat16 where there is some if it is not told otherwise."""
    import openvino as runtime

    precision = {"float32": "f32", "bfloat16": "bf16"}[args.dtype]
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    model = runtime.Core().compile_model(args.file, "CPU", hints)
    output = model.output("num_detections")
    answer(args, lambda inputs: model(inputs)[output], [item.any_name for item in model.inputs])


if __name__ == "__main__":
    run_one((onnxruntime, openvino), __doc__, file="", dtype="float32")
