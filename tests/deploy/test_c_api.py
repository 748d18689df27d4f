"""The C program: built from the TensorFlow package alone, fed with good and malformed requests."""

import contextlib
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from malformed_images import DETECTIONS, EITHER, ERROR, encode, pixels, requests, write

FOLDER = pathlib.Path(__file__).parents[2] / "deploy" / "c_api"
GROWTH_MB = 64  # of the process, from when every kind of request was answered once


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The built program, or a skip where no compiler is."""
    for tool in ("make", "cc"):
        if not shutil.which(tool):
            pytest.skip(f"`{tool}` is not installed")
    build = tmp_path_factory.mktemp("build")
    command = [
        "make",
        "-C",
        str(FOLDER),
        f"PYTHON={sys.executable}",
        f"BUILD={build}",
        "CFLAGS=-O2 -Wall -Wextra -Werror",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return build / "detect"


@contextlib.contextmanager
def conversation(program, saved_model):
    """`ask(path)` gives the program a file and returns its answer, a line of JSON, and its memory in MB."""
    command = [str(program), str(saved_model)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(path):
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, f"{path}: the process ended with {process.wait()}"
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            (memory,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
            return json.loads(line), int(memory) / 1024

        yield ask, process


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.png"
    path.write_bytes(encode(pixels(np.random.default_rng(5), 90, 120), "PNG"))
    return path


def test_detections_are_those_of_the_saved_model(program, served_models, served_signatures, good, tmp_path):
    saved_model = served_models / "mask_rcnn" / "1"
    batch = np.stack([pixels(np.random.default_rng(seed), 90, 120, 3) for seed in (1, 2)])
    np.save(tmp_path / 'two "images".npy', batch)
    command = [program, saved_model, good, tmp_path / 'two "images".npy']
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["file"], line["image"]) for line in lines] == [
        (str(good), 0),
        (str(tmp_path / 'two "images".npy'), 0),
        (str(tmp_path / 'two "images".npy'), 1),
    ]
    outputs = [served_signatures["serving_bytes"](image_bytes=tf.constant([good.read_bytes()]))]
    outputs += [served_signatures["serving_default"](images=tf.constant(batch))]
    rows = [(output, index) for output in outputs for index in range(len(output["num_detections"]))]
    for line, (output, index) in zip(lines, rows, strict=True):
        count = int(output["num_detections"][index])
        assert len(line["detections"]) == count > 0
        found = line["detections"]
        y1, x1, y2, x2 = output["detection_boxes"][index][:count].numpy().T
        np.testing.assert_array_equal([d["category_id"] for d in found], output["detection_classes"][index][:count])
        np.testing.assert_allclose([d["score"] for d in found], output["detection_scores"][index][:count], atol=1e-5)
        np.testing.assert_allclose([d["bbox"] for d in found], np.stack([x1, y1, x2 - x1, y2 - y1], 1), atol=1e-3)


def test_arguments_that_cannot_be_used(program, served_models, tmp_path, good):
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY\x01\0\xff\xff{'descr'")
    np.save(tmp_path / "long.npy", np.zeros((1, 4, 4, 3), np.uint8))
    content = (tmp_path / "long.npy").read_bytes()
    (tmp_path / "long.npy").write_bytes(content.replace(b"(1, 4, 4, 3)", b"(1, 4, 9, 3)"))
    (tmp_path / "huge.npy").write_bytes(content.replace(b"(1, 4, 4, 3), ", b"(99999999999,)"))
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "fortran.npy", np.asfortranarray(np.zeros((4, 4), np.uint8)))
    names = {
        "absent": "cannot be read",
        ".": "cannot be read",
        "cut.npy": "not a whole NumPy array",
        "long.npy": "has not the length that its shape says",
        "huge.npy": "shape is malformed or too large",
        "text.npy": "type is not one of",
        "fortran.npy": "Fortran's order",
    }
    command = [
        str(program),
        str(served_models / "mask_rcnn" / "1"),
        *(str(tmp_path / name) for name in names),
        str(good),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    *refused, answered = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and answered["detections"]
    for line, (name, message) in zip(refused, names.items(), strict=True):
        assert line["file"] == str(tmp_path / name) and message in line["error"]


def test_models_that_do_not_load(program, tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    for folder, message in (("absent", "Could not find SavedModel"), ("other", "no signature serving_default")):
        done = subprocess.run([str(program), str(tmp_path / folder)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "") and message in done.stderr
    assert subprocess.run([str(program)], capture_output=True, check=False).returncode == 2


@pytest.mark.parametrize("count", [100, pytest.param(500, marks=pytest.mark.slow)])
def test_malformed_requests(program, served_models, good, tmp_path, count, record_property):
    made = requests(count, cheap=count < 500)
    with conversation(program, served_models / "mask_rcnn" / "1") as (ask, process):
        before, _ = ask(good)
        assert before["detections"]
        memory = []
        for request, path in zip(made, write(made, tmp_path), strict=True):
            if path.suffix == ".json":  # tensors of several files, which the program does not make
                continue
            answer, resident = ask(path)
            memory.append(resident)
            assert ("error" in answer) == (request.wanted == ERROR) or request.wanted == EITHER, (request.kind, answer)
            assert request.wanted != DETECTIONS or "detections" in answer
        assert ask(good)[0] == before
        process.stdin.close()
        assert process.wait() == 1
    growth = memory[-1] - memory[len(memory) * 100 // count - 1]
    record_property("growth_mb", growth)
    assert growth < GROWTH_MB
