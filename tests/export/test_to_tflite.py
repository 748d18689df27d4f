"""TFLite files, run by ai_edge_litert, against the Keras model on the same canvas."""

import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from in_threads import assert_threads_get_the_results_of_one
from recipe_models import fill, golden_config
from tiny import finding_model, tiny_model

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.export import runners, tflite_file, to_tflite
from mask_rcnn_tf.export.check_images import drawn_scenes, read_folder
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.runners.keras_model import KerasRunner
from mask_rcnn_tf.export.runners.tflite import TfliteNetworks
from mask_rcnn_tf.export.to_tflite import tflite
from mask_rcnn_tf.models.inference import anchors_of

CANVAS = (128, 160)
OUTPUTS = {"num_detections", "detection_boxes", "detection_scores", "detection_classes", "detection_masks"}
# What TensorFlow's guide to the GPU delegate lists, of what the networks need.
DELEGATED = {
    "ADD",
    "CONCATENATION",
    "CONV_2D",
    "DEPTH_TO_SPACE",
    "FULLY_CONNECTED",
    "MAX_POOL_2D",
    "PAD",
    "RELU",
    "RESHAPE",
    "RESIZE_NEAREST_NEIGHBOR",
    "STRIDED_SLICE",
}


@pytest.fixture(scope="module")
def model():
    return finding_model()


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("phone") / "model.tflite"
    tflite(model, path, drawn_scenes(model.config, 2), canvas=CANVAS)
    return path


def read(path):
    return tflite_file.from_bytes(path.read_bytes())


def operators(path):
    """(name of the operator, types of its outputs) of all graphs; a custom one fails."""
    model, found = read(path), []
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    types = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            assert code.customCode is None and code.builtinCode != schema.BuiltinOperator.CUSTOM
            found.append((names[code.builtinCode], tuple(types[graph.tensors[i].type] for i in operator.outputs)))
    return found


def test_builtin_operators(path):
    names = {name for name, _ in operators(path)}
    assert {"CONV_2D", "NON_MAX_SUPPRESSION_V5", "TOPK_V2", "GATHER"} <= names


def test_signature(path):
    runner = runners.load(path)
    image = np.zeros((1, *CANVAS, 3), np.uint8)
    outputs = runner.run({"image": image, "image_shape": np.int32([[128, 96]]), "original_shape": np.int32([[64, 48]])})
    assert set(outputs) == OUTPUTS
    types = {"num_detections": np.int32, "detection_classes": np.int32}
    assert all(value.dtype == types.get(name, np.float32) and len(value) == 1 for name, value in outputs.items())


def test_finds_the_same(model, path):
    """`tflite` has compared other scenes; here classes and padding are looked at without its means."""
    runner, images = runners.load(path), drawn_scenes(model.config, 6)[4:]
    assert runner.canvas == CANVAS and runner.config == model.config
    expected = KerasRunner(model, CANVAS).predict(images)
    for found, theirs in zip(runner.predict(images), expected, strict=True):
        assert len(theirs["detection_scores"]) and set(found) == set(theirs)
        assert found["detection_classes"].tolist() == theirs["detection_classes"].tolist()
        np.testing.assert_allclose(found["detection_boxes"], theirs["detection_boxes"], rtol=0, atol=1e-2)
        np.testing.assert_allclose(found["detection_scores"], theirs["detection_scores"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(found["detection_masks"], theirs["detection_masks"], rtol=0, atol=1e-3)


def test_threads_get_the_results_of_one(model, path):
    """An interpreter has one set of tensors; threads take turns."""
    assert_threads_get_the_results_of_one(runners.load(path), drawn_scenes(model.config, 8))


def test_labels_and_metadata(path):
    with zipfile.ZipFile(path) as archive:
        lines = archive.read("labels.txt").decode().splitlines()
        assert json.loads(archive.read("labels.json")) == {"1": "ball", "7": "box", "90": "star"}
        assert set(archive.namelist()) == {"labels.txt", "labels.json", "config.json", "canvas.json"}
    assert (lines[1], lines[7], lines[90], len(lines)) == ("ball", "box", "star", 91)
    assert {line for i, line in enumerate(lines) if i not in (1, 7, 90)} == {"???"}
    model = read(path)
    (entry,) = (entry for entry in model.metadata if entry.name == b"TFLITE_METADATA")
    content = model.buffers[entry.buffer].data.tobytes()
    assert content[4:8] == b"M001"
    assert all(name.encode() in content for name in (*OUTPUTS, "image_shape", "labels.txt"))


def test_int8(model, path, tmp_path):
    """Every convolution is int8; boxes, suppression and scores stay float."""
    scenes = drawn_scenes(model.config, 2)
    tflite(model, tmp_path / "int8.tflite", scenes, canvas=CANVAS, quantization="int8", calibration=scenes)
    found = operators(tmp_path / "int8.tflite")
    kinds = {name: {types for other, types in found if other == name} for name, _ in found}
    assert {*kinds["CONV_2D"], *kinds["FULLY_CONNECTED"]} == {("INT8",)}
    assert kinds["EXP"] == kinds["SOFTMAX"] == kinds["LOGISTIC"] == {("FLOAT32",)}
    assert kinds["NON_MAX_SUPPRESSION_V5"] == {("INT32", "FLOAT32", "INT32")}
    assert sum(name == "CONV_2D" for name, _ in found) == sum(name == "CONV_2D" for name, _ in operators(path))
    assert not any("INT8" in types for name, types in found if name in ("MUL", "SUB", "DIV", "MINIMUM", "TOPK_V2"))


def test_networks_alone(model, path, tmp_path):
    tflite(model, tmp_path / "networks.tflite", canvas=CANVAS, images=drawn_scenes(model.config, 1), heads_only=True)
    assert {name for name, _ in operators(tmp_path / "networks.tflite")} <= DELEGATED
    with zipfile.ZipFile(tmp_path / "networks.tflite") as archive:
        anchors = np.frombuffer(archive.read("anchors.f32"), "<f4").reshape(-1, 4)
    folded = model.with_kernels("tflite")
    runner = TfliteNetworks(tmp_path / "networks.tflite", folded)
    assert_threads_get_the_results_of_one(runner, drawn_scenes(model.config, 4), rounds=1)
    image = np.random.default_rng(0).normal(size=(1, *CANVAS, 3)).astype(np.float32)
    outputs = runner.run("network", {"normalized": image})
    features = model.extract_features(image)
    tensors = model.trace(tf.constant(image), np.int32([CANVAS]))
    expected = tf.concat(anchors_of(model.config, model.stages, image), 0)
    np.testing.assert_array_equal(anchors, expected)
    levels = [f"P{i}" for i in range(2, 7)]
    logits = np.concatenate([tensors[f"objectness_{name}"] for name in levels], 1)
    deltas = np.concatenate([tensors[f"deltas_{name}"] for name in levels], 1)
    found = np.concatenate([outputs[f"objectness_{name}"] for name in levels], 1)
    np.testing.assert_allclose(found, logits, rtol=0, atol=1e-4 * np.abs(logits).max())
    found = np.concatenate([outputs[f"deltas_{name}"] for name in levels], 1)
    np.testing.assert_allclose(found, deltas, rtol=0, atol=1e-4 * np.abs(deltas).max())
    for name in levels[:4]:
        np.testing.assert_allclose(outputs[name], features[name], rtol=0, atol=1e-4 * np.abs(features[name]).max())
    pooled = np.random.default_rng(1).normal(size=(10, 14, 14, 16)).astype(np.float32)
    masks = runner.run("mask_head", {"mask_pooled": pooled})["mask_logits"]
    for number in (1, 2, 3):
        expected = model.mask_head(pooled, np.full(10, number)).numpy()
        np.testing.assert_allclose(masks[..., number - 1], expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    with pytest.raises(ExportError, match="it has the networks alone"):
        runners.load(tmp_path / "networks.tflite")


def test_a_difference_is_refused(path, tmp_path, monkeypatch):
    """The file of another model, converted before, is taken for that of a changed one."""
    changed = finding_model()
    changed.box_head.classes.bias.assign_add([0.0, 0.3, 0.0, 0.0])
    monkeypatch.setattr(to_tflite, "_whole", lambda *_: read(path))
    with pytest.raises(ExportError, match=r"the exported model differs from the Keras model in \d+ of \d+ detections"):
        tflite(changed, tmp_path / "model.tflite", drawn_scenes(changed.config, 1), canvas=CANVAS)
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments(model, tmp_path):
    path = tmp_path / "model.tflite"
    with pytest.raises(ExportError, match="quantization is 'int4'; allowed: 'none', 'float16', 'dynamic', 'int8'"):
        tflite(model, path, quantization="int4")
    with pytest.raises(ExportError, match=r"canvas is \(100, 128\); allowed: .* multiples of 32"):
        tflite(model, path, canvas=(100, 128))
    with pytest.raises(ExportError, match=r"calibration is \[\]; allowed: at least one image"):
        tflite(model, path, quantization="int8", calibration=[])
    with pytest.raises(ExportError, match=r"class_names is \(\) and num_classes is 3; allowed: a name for each class"):
        tflite(tiny_model(), path)
    with pytest.raises(ExportError, match="model is a Module; allowed: a MaskRCNN"):
        tflite(tf.Module(), path)
    with pytest.raises(ExportError, match="it exists already"):
        tflite(model, tmp_path)
    with pytest.raises(ExportError, match="'.*absent.tflite'; there is nothing"):
        runners.load(tmp_path / "absent.tflite")
    assert list(tmp_path.iterdir()) == []


def test_category_ids_are_lines(model, tmp_path):
    config = finding_model().config
    config.category_ids = (1, 7, 70000)
    with pytest.raises(ExportError, match="category_ids has 70000; allowed in TFLite: up to 65535"):
        tflite(mrcnn.MaskRCNN(config), tmp_path / "model.tflite")


def test_what_is_no_model_of_ours(path, tmp_path):
    (tmp_path / "model.tflite").write_bytes(tflite_file.to_bytes(read(path)))
    with pytest.raises(ExportError, match="it has no configuration behind it"):
        runners.load(tmp_path / "model.tflite")
    content = bytearray(path.read_bytes())
    content[:2000] = b"\0" * 2000
    (tmp_path / "broken.tflite").write_bytes(content)
    with pytest.raises(ExportError, match="it does not load"):
        runners.load(tmp_path / "broken.tflite")


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["float16", "dynamic"])
def test_quantized_weights(model, path, tmp_path, quantization):
    tflite(model, tmp_path / "model.tflite", canvas=CANVAS, quantization=quantization)
    assert (tmp_path / "model.tflite").stat().st_size < path.stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("case", ["maskA", "d2A"])
def test_r50(case, shared_data, tmp_path):
    """The recipe's weights on photos; in d2A RoIAlign is adaptive, a loop in the graph."""
    config = golden_config(case)
    config.class_names = tuple("abcdef")
    model = fill(mrcnn.MaskRCNN(config))
    tflite(
        model,
        tmp_path / "none.tflite",
        read_folder(shared_data / "coco_small" / "val" / "images", 3),
        canvas=(416, 416),
    )
    tflite(model, tmp_path / "half.tflite", canvas=(320, 416), quantization="float16")
    sizes = [(tmp_path / name).stat().st_size for name in ("none.tflite", "half.tflite")]
    assert sizes[1] < 0.55 * sizes[0]
