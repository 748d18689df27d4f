"""TensorRT is on no machine of ours: tested are the command that the script runs and the calls of the program."""

import importlib.util
import pathlib
import subprocess
import sys
import types
from unittest import mock

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "deploy" / "tensorrt"


@pytest.fixture(scope="module")
def build_engine():
    spec = importlib.util.spec_from_file_location("build_engine", FOLDER / "build_engine.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_script(tmp_path, *arguments):
    """The arguments that `build.sh` gives to trtexec."""
    trtexec = tmp_path / "trtexec"
    trtexec.write_text('#!/bin/sh\nfor argument in "$@"; do echo "$argument"; done\n')
    trtexec.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    command = ["sh", str(FOLDER / "build.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize(
    "arguments, usual, largest, more",
    [((), 1, 4, []), (("2", "8"), 2, 8, []), (("3", "--fp16"), 3, 3, ["--fp16"]), (("--fp16",), 1, 4, ["--fp16"])],
)
def test_script(tmp_path, arguments, usual, largest, more):
    def shapes(batch):
        return f"image:{batch}x800x1344x3,image_shape:{batch}x2,original_shape:{batch}x2"

    done = run_script(tmp_path, "a model.onnx", "m.plan", "800", "1344", *arguments)
    assert done.stdout.splitlines() == [
        "--onnx=a model.onnx",
        "--saveEngine=m.plan",
        "--noTF32",
        f"--minShapes={shapes(1)}",
        f"--optShapes={shapes(usual)}",
        f"--maxShapes={shapes(largest)}",
        *more,
    ]


def test_script_wants_a_canvas(tmp_path):
    done = run_script(tmp_path, "m.onnx", "m.plan")
    assert done.returncode == 2 and "HEIGHT WIDTH" in done.stderr


def stand_in(monkeypatch, inputs, parses=True):
    """A `tensorrt` that records; its network has the given inputs, {name: shape}."""
    trt = mock.MagicMock(__version__="10.9")
    network = trt.Builder.return_value.create_network.return_value
    tensors = [types.SimpleNamespace(name=name, shape=shape) for name, shape in inputs.items()]
    network.num_inputs, network.get_input = len(tensors), tensors.__getitem__
    parser = trt.OnnxParser.return_value
    parser.parse.return_value, parser.num_errors = parses, 1
    parser.get_error.return_value = "node 7: no importer"
    trt.Builder.return_value.build_serialized_network.return_value = b"engine"
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    return trt


INPUTS = {"image": (-1, 96, 128, 3), "image_shape": (-1, 2), "original_shape": (-1, 2)}


def test_program(build_engine, monkeypatch, tmp_path):
    trt = stand_in(monkeypatch, INPUTS)
    (tmp_path / "m.onnx").write_bytes(b"model")
    arguments = [str(tmp_path / name) for name in ("m.onnx", "m.plan")]
    build_engine.main([*arguments, "--usual_batch", "2", "--largest_batch", "8"])
    assert (tmp_path / "m.plan").read_bytes() == b"engine"
    trt.OnnxParser.return_value.parse.assert_called_once_with(b"model")
    builder = trt.Builder.return_value
    profile, config = builder.create_optimization_profile.return_value, builder.create_builder_config.return_value
    assert profile.set_shape.call_args_list == [
        mock.call("image", (1, 96, 128, 3), (2, 96, 128, 3), (8, 96, 128, 3)),
        mock.call("image_shape", (1, 2), (2, 2), (8, 2)),
        mock.call("original_shape", (1, 2), (2, 2), (8, 2)),
    ]
    config.add_optimization_profile.assert_called_once_with(profile)
    config.clear_flag.assert_called_once_with(trt.BuilderFlag.TF32)
    config.set_flag.assert_not_called()


@pytest.mark.parametrize(
    "inputs, parses, flags, message",
    [
        ({"images": (-1, -1, -1, 3)}, True, [], "exported with --canvas"),
        (INPUTS, False, [], "node 7: no importer"),
        (INPUTS, True, ["--usual_batch", "5"], "usual_batch is 5"),
    ],
)
def test_program_fails_in_one_line(build_engine, monkeypatch, tmp_path, inputs, parses, flags, message):
    stand_in(monkeypatch, inputs, parses)
    (tmp_path / "m.onnx").write_bytes(b"model")
    with pytest.raises(SystemExit, match=message):
        build_engine.main([str(tmp_path / "m.onnx"), str(tmp_path / "m.plan"), *flags])
    assert not (tmp_path / "m.plan").exists()


def test_program_without_tensorrt(build_engine, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(SystemExit, match="pip install tensorrt"):
        build_engine.main([str(tmp_path / "m.onnx"), str(tmp_path / "m.plan")])
