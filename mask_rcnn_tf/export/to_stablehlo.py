"""The compiled inference as XLA's own program, for PJRT: it runs where TensorFlow is not installed."""

import json
import os

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.config import to_dict
from mask_rcnn_tf.export import signatures
from mask_rcnn_tf.export.canvas import Canvas, check_canvas, default_canvas, image_dtype
from mask_rcnn_tf.export.check_images import images_to_compare
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.folding import fold
from mask_rcnn_tf.export.labels import label_map
from mask_rcnn_tf.export.output import written_whole
from mask_rcnn_tf.export.runners.fixed_shapes import FixedShapesRunner
from mask_rcnn_tf.export.verification import check_runner
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN

ARGUMENTS = ("image", "image_shape", "original_shape")


def stablehlo(
    model: MaskRCNN,
    path: str | os.PathLike,
    images: list[np.ndarray] | None = None,
    canvas: Canvas | None = None,
    batch: int = 1,
):
    """Writes a model as an XLA program with its weights beside it, once it was seen to find the same as the model.

    The folder has::

      program.hlo.pb              serialized `HloModuleProto`, before optimisation
      program.stablehlo.mlirbc    the same as StableHLO in MLIR bytecode, of this TensorFlow's MLIR version;
                                  `jax.extend.mlir.serialize_portable_artifact` makes it last
      parameters.npz              p3, p4, ...: the weights; p0 to p2 are the arguments, which the caller gives
      signature.json              name, dtype and shape of every parameter and result, in order; the canvas
      config.json, labels.json    the model's configuration; category id to name

    The arguments are those of `signatures.detect_canvas`, as `canvas.place_on_canvas` makes them.

    What is compared with the model is the program as TensorFlow's XLA compiles it for this machine, so that no other
    library is needed; `runners.stablehlo` runs the files themselves, where jax is installed.

    Args:
      model: `MaskRCNN` with class names.
      path: folder that is to be.
      images: uint8 [h, w, 3], RGB, to compare detections on; None: drawn scenes.
      canvas: (H, W), pixels; None: the square that holds every image.
      batch: B, images a run.

    Raises:
      ExportError: an argument is wrong, `path` exists or cannot be written, or the program finds something else.

    Source: OpenXLA, StableHLO; `tf.function.experimental_get_compiler_ir`.
    """
    if type(batch) is not int or batch < 1:
        raise ExportError(f"batch is {batch!r}; allowed: whole numbers from 1.")
    folded = fold(model, kernels="xla")
    canvas = check_canvas(model.config, canvas or default_canvas(model.config))
    labels = label_map(model.config)
    images = images_to_compare(model.config, images)
    detect = tf.function(
        lambda image, image_shape, original_shape: signatures.detect_canvas(folded, image, image_shape, original_shape),
        jit_compile=True,
        autograph=False,
    )
    shapes = ((batch, *canvas, model.config.preprocess.channels), (batch, 2), (batch, 2))
    dtypes = (image_dtype(model.config), tf.int32, tf.int32)
    specs = [tf.TensorSpec(*spec) for spec in zip(shapes, dtypes, ARGUMENTS, strict=True)]

    def run(*arguments):
        outputs = detect(*(tf.constant(value, spec.dtype) for value, spec in zip(arguments, specs, strict=True)))
        return {name: value.numpy() for name, value in outputs.items()}

    with written_whole(path) as place:
        place.mkdir()
        _write(detect, specs, folded, place, canvas)
        (place / "config.json").write_text(json.dumps(to_dict(model.config), indent=2))
        (place / "labels.json").write_text(json.dumps(labels, indent=2))
        check_runner(FixedShapesRunner(model.config, canvas, batch, run), model, images)


def _write(detect, specs, model, folder, canvas):
    compiled = detect.experimental_get_compiler_ir(*specs)
    (folder / "program.hlo.pb").write_bytes(compiled(stage="hlo_serialized"))
    (folder / "program.stablehlo.mlirbc").write_bytes(compiled(stage="stablehlo_serialized"))
    concrete = detect.get_concrete_function(*specs)
    variables = {id(variable.value.handle): variable for variable in model.weights}
    captured = [variables[id(handle)] for handle in concrete.captured_inputs]  # the parameters, in this order
    weights = {f"p{i}": np.asarray(variable) for i, variable in enumerate(captured, start=len(specs))}
    np.savez(folder / "parameters.npz", **weights)
    # tf.nest.flatten, which orders the results, sorts the names.
    results = sorted(concrete.structured_outputs.items())
    signature = {
        "canvas": canvas,
        "parameters": [_described(spec.name, spec) for spec in specs]
        + [_described(variable.path, weight) for variable, weight in zip(captured, weights.values(), strict=True)],
        "results": [_described(name, tensor) for name, tensor in results],
    }
    (folder / "signature.json").write_text(json.dumps(signature, indent=2))


def _described(name, value):
    return {"name": name, "dtype": tf.as_dtype(value.dtype).name, "shape": list(value.shape)}
