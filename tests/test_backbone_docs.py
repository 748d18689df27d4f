"""What docs/backbones.md prints runs as it is printed; only the length of training is cut. Its table is Keras's."""

import json
import re

import keras
import numpy as np
import pytest
from test_readme import ROOT, SMALL, blocks, run

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.applications import APPLICATIONS
from mask_rcnn_tf.models.backbones.keras_models import last_features

TEXT = (ROOT / "docs" / "backbones.md").read_text()


@pytest.mark.slow
def test_commands(tmp_path, monkeypatch):
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    monkeypatch.chdir(tmp_path)
    exec(blocks("python", TEXT)[0], {})
    commands = [line for block in blocks("bash", TEXT) for line in block.splitlines()]
    commands = [command.replace("--count 200", "--count 12").replace("--count 40", "--count 4") for command in commands]
    printed = [run(command, tmp_path, SMALL) for command in commands]
    assert len(printed) == 6 and "206 tensors used" in printed[2]
    config = json.loads((tmp_path / "runs" / "mobilenet" / "config.json").read_text())
    assert config["model"]["backbone"]["keras_application"] == "MobileNetV3Small"
    assert not re.search("not loaded, (not there|of another shape)", printed[3]) and "variables loaded" in printed[3]
    assert (tmp_path / "runs" / "mobilenet" / "pictures" / "results.json").exists()
    assert (tmp_path / "export" / "mobilenet" / "1" / "saved_model.pb").exists()


@pytest.mark.slow
def test_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(blocks("python", TEXT)[1], names)
    loaded = mrcnn.load_model(tmp_path / "mobilenet_v2.keras")
    assert loaded.backbone.spec == names["model"].backbone.spec == {f"P{i}": (2**i, 256) for i in range(2, 7)}
    for ours, theirs in zip(loaded.backbone.weights, names["model"].backbone.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def rows():
    """(networks, layers, pixels) of the table."""
    return re.findall(r"^\| ((?:Conv|Eff|Mob|Dense|Res|VGG).*?) \| (.*?) \| (.*?) \|$", TEXT, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["EfficientNetB0", "EfficientNetV2B0", "DenseNet121", "MobileNetV2", "ResNet50", "VGG16"]
)
def test_layers_of_the_table(name):
    cells = [cell for networks, cell, _ in rows() if networks.startswith(name) or f"of {name[-2:]} `" in cell]
    network = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(None, None, 3))
    _, features = last_features(network)
    assert any([feature.name for feature in features] == re.findall(r"`(\w+)`", cell) for cell in cells)


def test_pixels_of_the_table():
    words = {"RGB, levels as they are": ("RGB", 1.0), "RGB, scale 1/127.5, minus 1": ("RGB", 1 / 127.5)}
    words |= {"RGB, scale 1/255, ImageNet's mean and std": ("RGB", 1 / 255)}
    words |= {"BGR, minus (103.939, 116.779, 123.68)": ("BGR", 1.0)}
    seen = [(networks.partition(",")[0].partition(" ")[0], pixels) for networks, _, pixels in rows()]
    assert len(seen) == 9 and all(APPLICATIONS[name][:2] == words[pixels] for name, pixels in seen)
