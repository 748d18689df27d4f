"""The XLA program: its files, and what it finds where jax runs it."""

import importlib.util
import json

import numpy as np
import pytest
from in_threads import assert_threads_get_the_results_of_one
from tiny import finding_model

from mask_rcnn_tf.export import runners
from mask_rcnn_tf.export.canvas import place_on_canvas
from mask_rcnn_tf.export.check_images import drawn_scenes
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.folding import fold
from mask_rcnn_tf.export.runners.fixed_shapes import FixedShapesRunner
from mask_rcnn_tf.export.to_stablehlo import stablehlo
from mask_rcnn_tf.export.verification import check_runner

CANVAS, BATCH = (96, 128), 2
HAS_JAX = importlib.util.find_spec("jax") is not None


@pytest.fixture(scope="module")
def model():
    return finding_model()


@pytest.fixture(scope="module")
def images(model):
    return drawn_scenes(model.config, 3)


@pytest.fixture(scope="module")
def folder(model, images, tmp_path_factory):
    """`stablehlo` compares what it writes with the model by itself."""
    folder = tmp_path_factory.mktemp("export") / "program"
    stablehlo(model, folder, images, CANVAS, BATCH)
    return folder


def test_parameters_are_the_arguments_and_the_weights(model, folder):
    signature = json.loads((folder / "signature.json").read_text())
    parameters = signature["parameters"]
    assert [(item["name"], item["dtype"], item["shape"]) for item in parameters[:3]] == [
        ("image", "uint8", [BATCH, *CANVAS, 3]),
        ("image_shape", "int32", [BATCH, 2]),
        ("original_shape", "int32", [BATCH, 2]),
    ]
    expected = {variable.path: np.asarray(variable) for variable in fold(model).weights}
    with np.load(folder / "parameters.npz") as weights:
        assert weights.files == [f"p{i}" for i in range(3, 3 + len(expected))]
        for name, item in zip(weights.files, parameters[3:], strict=True):
            np.testing.assert_array_equal(weights[name], expected.pop(item["name"]))
    assert not expected


def test_results_and_labels(folder):
    results = json.loads((folder / "signature.json").read_text())["results"]
    assert {item["name"]: (item["dtype"], item["shape"]) for item in results} == {
        "num_detections": ("int32", [BATCH]),
        "detection_boxes": ("float32", [BATCH, 10, 4]),
        "detection_scores": ("float32", [BATCH, 10]),
        "detection_classes": ("int32", [BATCH, 10]),
        "detection_masks": ("float32", [BATCH, 10, 28, 28]),
    }
    assert json.loads((folder / "labels.json").read_text()) == {"1": "ball", "7": "box", "90": "star"}
    assert (folder / "program.stablehlo.mlirbc").read_bytes().startswith(b"ML\xefR")  # MLIR bytecode
    assert (folder / "program.hlo.pb").stat().st_size > 10_000


def test_batches_are_filled_and_cut(model, images):
    """A program of two images gets three: the third comes with a copy of itself, which is not answered."""
    seen = []

    def run(image, image_shape, original_shape):
        seen.append((image, image_shape, original_shape))
        boxes = np.broadcast_to(original_shape[:, None, [0, 1, 0, 1]], [BATCH, 1, 4])
        ones = np.ones([BATCH, 1], np.int32)
        return {
            "num_detections": ones[:, 0],
            "detection_boxes": boxes,
            "detection_scores": ones,
            "detection_classes": 90 * ones,
        }

    found = FixedShapesRunner(model.config, CANVAS, BATCH, run).predict(images)
    assert [item["detection_boxes"][0, :2].tolist() for item in found] == [list(image.shape[:2]) for image in images]
    assert [item["detection_classes"].tolist() for item in found] == [[3]] * 3
    assert len(seen) == 2 and seen[1][0].shape == (BATCH, *CANVAS, 3)
    for row in range(BATCH):
        np.testing.assert_array_equal(seen[1][0][row], place_on_canvas(model.config, images[2], CANVAS)[0])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"batch": 0}, "batch is 0; allowed: whole numbers from 1"),
        ({"batch": True}, "batch is True"),
        ({"canvas": (96, 100)}, "canvas is .* multiples of 32"),
    ],
)
def test_errors(model, images, tmp_path, change, message):
    with pytest.raises(ExportError, match=message):
        stablehlo(model, tmp_path / "program", images, **change)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(HAS_JAX, reason="jax is installed here")
def test_without_jax(folder):
    with pytest.raises(ExportError, match="runs where jax is installed"):
        runners.load(folder)


@pytest.mark.skipif(not HAS_JAX, reason="jax, which runs XLA programs without TensorFlow, is not installed")
def test_with_jax(model, images, folder):
    runner = runners.load(folder)
    assert (runner.canvas, runner.batch) == (CANVAS, BATCH)
    check_runner(runner, model, images)
    assert_threads_get_the_results_of_one(runner, images)
