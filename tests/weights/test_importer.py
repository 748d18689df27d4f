"""From files of every kind to models, by function and by tool."""

import json
import os
import pathlib
import sys

import forked
import keras
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from checkpoint_files import write_pickle, write_torch_legacy, write_torch_zip
from tiny import tiny_config

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.exporter import save_torchvision, to_torchvision
from mask_rcnn_tf.weights.importer import SOURCES, import_checkpoint

TOOLS = pathlib.Path(__file__).parents[2] / "tools"
CONFIG = """
import sys
sys.path.insert(0, {tests!r})
import mask_rcnn_tf as mrcnn
from tiny import tiny_config

def get_config():
    return mrcnn.Config(model=tiny_config())
"""


@pytest.fixture(scope="module")
def model():
    """A tiny model with random values everywhere."""
    model = mrcnn.MaskRCNN(tiny_config())
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.uniform(0.1, 1.0, weight.shape))
    return model


def assert_same(ours, theirs):
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


@pytest.mark.parametrize(
    "write", [write_torch_zip, write_torch_legacy, lambda path, content: write_pickle(path, content)]
)
def test_files_that_torch_writes(tmp_path, model, write):
    write(tmp_path / "m.pth", {"model": to_torchvision(model), "epoch": 3})
    imported, report = import_checkpoint("torchvision", tmp_path / "m.pth", mrcnn.Config(model=tiny_config()))
    assert_same(model, imported)
    assert report.initial == [] and len(report.used) == len(model.weights)


def test_a_file_that_is_not_what_its_name_says(tmp_path, model):
    path = tmp_path / "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"
    write_torch_zip(path, to_torchvision(model))
    _, report = import_checkpoint("torchvision", path, mrcnn.Config(model=tiny_config()))
    (line,) = [line for line in report.lines() if "SHA-256" in line]
    assert "its name says bf2d0c1e: it is not the file" in line


def test_safetensors_file_says_what_the_model_computes(tmp_path, model):
    save_torchvision(model, tmp_path / "m.safetensors")
    imported, _ = import_checkpoint("torchvision", tmp_path / "m.safetensors", mrcnn.Config(model=tiny_config()))
    assert_same(model, imported)
    with safetensors.safe_open(tmp_path / "m.safetensors", "np") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt"
    assert json.loads(metadata["config"])["preprocess"]["short_side"] == model.config.preprocess.short_side


def test_images_of_other_channels(tmp_path, model):
    """A model of five is written and read as any; one of photos is imported as it is, and the message says the way."""
    config = tiny_config()
    preprocess = config.preprocess
    preprocess.channels, preprocess.channel_order, preprocess.mean, preprocess.std = 5, "RGB", (9.0,) * 5, (3.0,) * 5
    wide = mrcnn.MaskRCNN(config)
    save_torchvision(wide, tmp_path / "five.safetensors")
    imported, _ = import_checkpoint("torchvision", tmp_path / "five.safetensors")
    assert_same(imported, wide)
    save_torchvision(model, tmp_path / "three.safetensors")
    with pytest.raises(ValueError, match=r"\[8, 3, \d, \d\], the model needs \[8, 5, .*import it as it is, and start"):
        import_checkpoint("torchvision", tmp_path / "three.safetensors", mrcnn.Config(model=config))


def test_wrong_arguments_are_named(tmp_path, model):
    with pytest.raises(ValueError, match="source is 'caffe'; allowed: torchvision, detectron2"):
        import_checkpoint("caffe", tmp_path / "m.pth")
    with pytest.raises(ValueError, match=r"m.txt'; allowed: a name that ends in .safetensors"):
        save_torchvision(model, tmp_path / "m.txt")
    for source in SOURCES:
        with pytest.raises(CheckpointError, match="nothing.pth.*no such file"):
            import_checkpoint(source, tmp_path / "nothing.pth")


def test_a_checkpoint_of_something_else_is_refused_by_every_source(tmp_path):
    write_torch_zip(tmp_path / "m.pth", {"encoder.weight": np.zeros((2, 2), np.float32)})
    for source in SOURCES:
        with pytest.raises(CheckpointError, match=r"m\.pth") as error:
            import_checkpoint(source, tmp_path / "m.pth")
        assert "encoder.weight" in str(error.value), source


def says(**values):
    return {"config": json.dumps(values)}


CLASSES = "roi_heads.box_predictor.cls_score.weight"  # by whose first axis classes are counted
HOSTILE = {  # files of some bytes that ask for terabytes, or for minutes
    "needs more weights than the": ({}, says(num_classes=10**9)),
    "configuration needs more weights": ({}, says(fpn={"channels": 2**40})),
    "weights than the .* bytes of the file": ({}, says(box_head={"fc_channels": 10**7})),
    "cascade_ious is .*; allowed: at most 10 values": ({}, says(box_head={"cascade_ious": [0.5] * 10**5})),
    "anchors is .*; allowed: at most 1000 anchors": ({}, says(anchors={"sizes": [[8.0] * 10**4] * 5})),
    "more weights": ({CLASSES: np.zeros((10**9, 0), np.float32)}, None),
    "20001 tensors in it; allowed: at most 20000": ({f"t{i}": np.zeros(0, np.float32) for i in range(20_001)}, None),
    "unexpected: n{200}[.]{3}[.;]": ({"n" * 10**6: np.zeros(1, np.float32)}, None),
}


@pytest.mark.parametrize("message", HOSTILE)
def test_what_a_small_file_asks_for_is_not_built(tmp_path, message):
    arrays, metadata = HOSTILE[message]
    arrays = arrays or {"a": np.zeros(1, np.float32)}
    safetensors.numpy.save_file(arrays, tmp_path / "m.safetensors", metadata)
    with pytest.raises(CheckpointError, match=message) as caught:
        import_checkpoint("torchvision", tmp_path / "m.safetensors")
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 1500


def run(tool, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(TOOLS.parent)}
    command = [sys.executable, str(TOOLS / tool), *map(str, arguments)]
    return forked.run(command, env=environment)


def test_tools_there_and_back(tmp_path, model):
    """A .keras file to torchvision's naming and back predicts the same."""
    config = tmp_path / "tiny_preset.py"
    config.write_text(CONFIG.format(tests=str(TOOLS.parent / "tests")))
    model.save(tmp_path / "m.keras")
    out = run("export_weights.py", "--model", tmp_path / "m.keras", "--output", tmp_path / "m.safetensors")
    assert out.returncode == 0, out.stderr
    arguments = ["--from", "torchvision", "--checkpoint", tmp_path / "m.safetensors", "--config", config]
    out = run("import_weights.py", *arguments, "--output", tmp_path / "sub" / "back.keras")
    assert out.returncode == 0, out.stderr
    assert f"{len(model.weights)} tensors used" in out.stdout and "3 classes, written to" in out.stdout
    assert_same(model, keras.models.load_model(tmp_path / "sub" / "back.keras"))
    out = run("import_weights.py", *arguments, "--output", tmp_path / "back.h5")
    assert out.returncode == 1 and out.stderr.splitlines()[-1].endswith("ends in .keras.")


def test_tools_bring_the_configuration_back_and_take_names(tmp_path, model):
    model.save(tmp_path / "m.keras")
    out = run("export_weights.py", "--model", tmp_path / "m.keras", "--output", tmp_path / "m.safetensors")
    assert out.returncode == 0, out.stderr
    arguments = ["--from", "torchvision", "--checkpoint", tmp_path / "m.safetensors", "--output", tmp_path / "b.keras"]
    out = run("import_weights.py", *arguments, "--class_names=cat,dog,cow")
    assert out.returncode == 0, out.stderr
    assert "class_names=('cat', 'dog', 'cow') (given)" in out.stdout and "(from the file: its metadata)" in out.stdout
    back = keras.models.load_model(tmp_path / "b.keras")
    assert back.config.class_names == ("cat", "dog", "cow") and back.config.backbone == model.config.backbone
    out = run("import_weights.py", *arguments, "--anchor_sizes=32,64")
    assert out.returncode != 0 and "allowed: a tuple of sides in pixels for each of P2..P6" in out.stderr
