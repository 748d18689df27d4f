"""XLA programs, run by jax through PJRT on the device it finds."""

import os
import pathlib
from collections.abc import Callable

import numpy as np

from mask_rcnn_tf import strict_json
from mask_rcnn_tf.config import ModelConfig, from_dict
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.runners.fixed_shapes import FixedShapesRunner


class StableHloRunner(FixedShapesRunner):
    """Runs the files that `to_stablehlo.stablehlo` wrote, without TensorFlow's XLA.

    Args:
      path: the folder.

    Raises:
      ExportError: jax is not installed, or a file is missing.
    """

    def __init__(self, path: str | os.PathLike):
        path = pathlib.Path(path)
        try:
            signature = strict_json.read(path / "signature.json", "signature")
            config = strict_json.read(path / "config.json", "config")
            program = load_program(path)
        except ImportError:
            raise ExportError(
                f"model is '{path}'; an XLA program runs where jax is installed (pip install jax). Allowed here: the "
                "other formats."
            ) from None
        except OSError as error:
            raise ExportError(f"model is '{path}'; {error.filename}: {error.strerror}.") from None
        except ValueError as error:
            raise ExportError(f"model is '{path}'; {error}") from None
        image = signature["parameters"][0]
        names = [result["name"] for result in signature["results"]]

        def run(*arguments):
            return dict(zip(names, program(*arguments), strict=True))

        super().__init__(
            from_dict(ModelConfig, config, "config.model"), tuple(signature["canvas"]), image["shape"][0], run
        )


def load_program(folder: pathlib.Path) -> Callable[..., list[np.ndarray]]:
    """Compiles a folder's program for the first device of jax.

    Needs jax and NumPy alone.

    Args:
      folder: of `to_stablehlo.stablehlo`.

    Returns:
      A function from the arguments (NumPy arrays) to a list of NumPy arrays, the results, as signature.json has them.
    """
    import jax
    from jax.extend import backend, mlir
    from jaxlib import xla_client

    device = jax.devices()[0]
    bytecode = mlir.hlo_to_stablehlo((folder / "program.hlo.pb").read_bytes())
    options = backend.get_compile_options(num_replicas=1, num_partitions=1)
    executable = backend.get_backend().compile_and_load(bytecode, xla_client.DeviceList((device,)), options)
    with np.load(folder / "parameters.npz") as weights:
        names = sorted(weights.files, key=lambda name: int(name[1:]))
        parameters = [jax.device_put(weights[name], device) for name in names]

    def run(*arguments):
        given = [jax.device_put(value, device) for value in arguments]
        results = executable.execute_sharded([*given, *parameters]).disassemble_into_single_device_arrays()
        return [np.asarray(result[0]) for result in results]

    return run
