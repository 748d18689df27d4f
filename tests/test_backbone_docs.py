"""The program of docs/backbones.md runs as it is printed, but for the download; its layers are in Keras's models."""

import pathlib
import re

import keras
import pytest

from mask_rcnn_tf.models.backbones.keras_backbone import KerasBackbone

TEXT = (pathlib.Path(__file__).parents[1] / "docs" / "backbones.md").read_text()


@pytest.mark.slow
def test_program(tmp_path, monkeypatch):
    real = keras.applications.ConvNeXtTiny

    def without_download(weights, **options):
        assert weights == "imagenet"
        return real(weights=None, **options)

    monkeypatch.setattr(keras.applications, "ConvNeXtTiny", without_download)
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    exec(program, {})
    assert (tmp_path / "convnext.keras").stat().st_size > 1e8


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ConvNeXtTiny", "EfficientNetB0", "EfficientNetV2B0", "DenseNet121", "ResNet50"])
def test_layers_of_the_table(name):
    (cell,) = re.findall(rf"^\| {name} \| (.*?) \|", TEXT, re.M)
    layers = re.findall(r"`([a-z_0-9.]+)`", cell)
    for i, layer in enumerate(layers):
        if layer.startswith("..."):
            stage, block = re.findall(r"\d+", layer)
            layers[i] = f"convnext_tiny_stage_{stage}_block_{block}_identity"
    assert [stride for stride, _ in KerasBackbone(name, layers, channels=8).spec.values()] == [4, 8, 16, 32, 64]
