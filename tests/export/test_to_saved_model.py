"""SavedModels are loaded in a process that has TensorFlow alone, and compared with the Keras model."""

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from conftest import SHARED_DATA
from in_threads import assert_threads_get_the_results_of_one
from PIL import Image
from recipe_models import fill, golden_config
from tiny import finding_model, tiny_model

import mask_rcnn_client
import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.config import ModelConfig, from_dict
from mask_rcnn_tf.export import to_saved_model
from mask_rcnn_tf.export.check_images import drawn_scenes, read_folder
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.runners.saved_model import SavedModelRunner
from mask_rcnn_tf.export.to_saved_model import saved_model
from mask_rcnn_tf.ops.masks import paste_mask

ALONE = """
import sys, numpy as np, tensorflow as tf
for line in sys.stdin:
    folder, inputs, outputs = line.rstrip("\\n").split("\\t")
    given = np.load(inputs, allow_pickle=True)
    loaded = tf.saved_model.load(folder)
    found = {}
    for name in given.files:
        signature = name.split("-")[0]
        argument = "images" if signature == "serving_default" else "image_bytes"
        for key, value in loaded.signatures[signature](**{argument: tf.constant(given[name])}).items():
            found[f"{name}/{key}"] = value.numpy()
    assert not [module for module in sys.modules if module.startswith("mask_rcnn_tf")]
    np.savez(outputs, **found)
    print("done", flush=True)
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A process without this package, which answers one line of folder, inputs and outputs after another."""
    errors = tmp_path_factory.mktemp("alone") / "errors"
    # -I: neither the checkout nor PYTHONPATH is searched.
    command = [sys.executable, "-I", "-c", ALONE]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with errors.open("w") as log, subprocess.Popen(command, stderr=log, **pipes) as process:
        yield process, errors
        process.stdin.close()


def run_alone(alone, folder, tmp_path, requests):
    """Outputs of requests {"signature-name": input} in a process without this package: {name: {output: array}}."""
    np.savez(tmp_path / "in.npz", **requests)
    process, errors = alone
    print(folder, tmp_path / "in.npz", tmp_path / "out.npz", sep="\t", file=process.stdin, flush=True)
    assert process.stdout.readline() == "done\n", errors.read_text()[-3000:]
    found = {name: {} for name in requests}
    with np.load(tmp_path / "out.npz") as arrays:
        for name, value in arrays.items():
            request, output = name.split("/")
            found[request][output] = value
    return found


def assert_same(outputs, expected, ids):
    """One request's outputs against a list of what `predict_images` gives, by the tolerances of docs/design.md."""
    for b, theirs in enumerate(expected):
        count = len(theirs["detection_scores"])
        assert outputs["num_detections"][b] == count
        np.testing.assert_array_equal(
            outputs["detection_classes"][b][:count], np.take(ids, theirs["detection_classes"] - 1)
        )
        np.testing.assert_allclose(outputs["detection_boxes"][b][:count], theirs["detection_boxes"], atol=1e-2)
        np.testing.assert_allclose(outputs["detection_scores"][b][:count], theirs["detection_scores"], atol=1e-4)
        np.testing.assert_allclose(outputs["detection_masks"][b][:count], theirs["detection_masks"], atol=1e-3)
        for name in ("detection_classes", "detection_boxes", "detection_scores", "detection_masks"):
            assert not outputs[name][b][count:].any()


@pytest.fixture(scope="module")
def model():
    return finding_model()


@pytest.fixture
def folder(served_models):
    """The SavedModel of that model."""
    return served_models / "mask_rcnn" / "1"


def png(image):
    return tf.io.encode_png(image).numpy()


def make_requests(images):
    """Both signatures, batches of 1, 2 and 5; files of different sizes in one batch."""
    same = [images[0], images[0][::-1], images[0][:, ::-1], images[0][::-1, ::-1], 255 - images[0]]
    batches = {f"serving_default-{n}": same[:n] for n in (1, 2, 5)}
    mixed = (images * 2)[:5]
    batches |= {f"serving_bytes-{n}": mixed[:n] for n in (1, 2, 5)}
    requests = {
        name: np.stack(batch) if "default" in name else np.array([png(image) for image in batch], object)
        for name, batch in batches.items()
    }
    return batches, requests


def check_alone(alone, model, folder, images, tmp_path):
    batches, requests = make_requests(images)
    found = run_alone(alone, folder, tmp_path, requests)
    ids = model.config.category_ids
    for name, batch in batches.items():
        assert_same(found[name], mrcnn.predict_images(model, batch), ids)
        if "bytes" in name:
            assert found[name]["original_shape"].tolist() == [list(image.shape[:2]) for image in batch]
    return found


def test_both_signatures_without_this_package(alone, model, folder, tmp_path):
    found = check_alone(alone, model, folder, drawn_scenes(model.config), tmp_path)
    assert min(outputs["num_detections"].min() for outputs in found.values()) > 0


def test_clients_see_the_objects_of_predict_images(model, folder, served_signatures):
    """`mask_rcnn_client`, of a batch of two sizes: the same objects, names and masks."""
    images = drawn_scenes(model.config, 2)
    images[1] = images[1][:, :70]
    outputs = served_signatures["serving_bytes"](image_bytes=tf.constant([png(image) for image in images]))
    found = mask_rcnn_client.from_outputs(outputs, mask_rcnn_client.read_legend(folder / "assets"))
    for ours, theirs in zip(found, mrcnn.predict_images(model, images), strict=True):
        assert ours.image_shape == theirs.image_shape and len(ours) > 0 and ours.legend == theirs.legend
        for one, other in zip(ours, theirs, strict=True):
            named = [(it.class_name, it.class_number, it.category_id) for it in (one, other)]
            assert named[0] == named[1]
            np.testing.assert_allclose(one.box, other.box, atol=1e-2)
            assert abs(one.score - other.score) < 1e-4
            both, either = (one.mask & other.mask).sum(), (one.mask | other.mask).sum()
            assert both >= 0.98 * either


def turned_files(image):
    """One image with EXIF orientation 6 in files of all formats that have EXIF; of the last it is behind the pixels."""
    tags = Image.Exif()
    tags[0x0112] = 6
    for form, options in (
        ("JPEG", {"quality": 95}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"quality": 95}),
        ("PNG", {}),
    ):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, form, exif=tags, **options)
        yield buffer.getvalue()
    content = buffer.getvalue()
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4])
    yield content[:start] + content[end:-12] + content[start:end] + content[-12:]


def test_files_are_turned_as_predict_images_turns_them(model, folder, tmp_path):
    image = drawn_scenes(model.config, 1)[0][:, :80]
    contents = list(turned_files(image))
    paths = [tmp_path / str(number) for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    found = tf.saved_model.load(str(folder)).signatures["serving_bytes"](image_bytes=tf.constant(contents))
    assert found["original_shape"].numpy().tolist() == [[80, image.shape[0]]] * len(contents)
    found = {name: value.numpy() for name, value in found.items()}
    assert_same(found, mrcnn.predict_images(model, paths), model.config.category_ids)


@pytest.mark.parametrize("signature", ["serving_default", "serving_bytes"])
def test_threads(model, folder, signature):
    assert_threads_get_the_results_of_one(SavedModelRunner(folder, signature), drawn_scenes(model.config, 8))


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """(SavedModel of a model that finds nothing, kept before it was refused; the error; what is left in its place)."""
    blind, kept, there = finding_model(score_threshold=0.99999), *map(tmp_path_factory.mktemp, ("kept", "refused"))

    def check(place, *arguments):
        shutil.copytree(place, kept / "1")
        original(place, *arguments)

    original = to_saved_model._check
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ExportError) as error:
        patch.setattr(to_saved_model, "_check", check)
        saved_model(blind, there / "1", drawn_scenes(blind.config, 2))
    return kept / "1", str(error.value), list(there.iterdir())


def test_a_model_that_finds_nothing_is_refused(refused):
    _, message, left = refused
    assert "the model finds nothing on any of 2 images" in message and left == []


def test_images_without_detections(alone, model, refused, tmp_path):
    images = np.stack(drawn_scenes(model.config, 1) * 2)
    requests = {"serving_default-2": images, "serving_bytes-2": np.array([png(image) for image in images], object)}
    for outputs in run_alone(alone, refused[0], tmp_path, requests).values():
        assert not outputs.pop("num_detections").any()
        outputs.pop("original_shape", None)
        assert all(not value.any() and value.shape[:2] == (2, 10) for value in outputs.values())


def test_assets(model, folder):
    assert json.loads((folder / "assets" / "labels.json").read_text()) == {"1": "ball", "7": "box", "90": "star"}
    values = json.loads((folder / "assets" / "config.json").read_text())
    assert from_dict(ModelConfig, values, "config.model") == model.config
    assert (folder / "assets.extra" / "tf_serving_warmup_requests").stat().st_size > 1000
    assert [path.name for path in folder.parent.iterdir()] == ["1"]  # no temporary folder stays


def test_signatures(folder):
    signatures = tf.saved_model.load(str(folder)).signatures
    outputs = {"num_detections", "detection_boxes", "detection_scores", "detection_classes", "detection_masks"}
    assert set(signatures) == {"serving_default", "serving_bytes"}
    default, of_bytes = signatures["serving_default"], signatures["serving_bytes"]
    assert default.structured_input_signature[1] == {"images": tf.TensorSpec([None, None, None, 3], tf.uint8, "images")}
    assert of_bytes.structured_input_signature[1] == {"image_bytes": tf.TensorSpec([None], tf.string, "image_bytes")}
    assert set(default.structured_outputs) == outputs
    assert set(of_bytes.structured_outputs) == outputs | {"original_shape"}


def test_pasted_masks(alone, model, tmp_path):
    images = drawn_scenes(model.config, 3)
    saved_model(model, tmp_path / "1", images, pasted=True)
    requests = {
        "serving_bytes-3": np.array([png(image) for image in images], object),
        "serving_default-1": images[0][None],
    }
    found = run_alone(alone, tmp_path / "1", tmp_path, requests)
    assert found["serving_bytes-3"]["detection_masks"].shape == (3, 10, 96, 96)
    np.testing.assert_array_equal(
        found["serving_default-1"]["detection_masks"][0], found["serving_bytes-3"]["detection_masks"][0]
    )
    for b, (image, theirs) in enumerate(zip(images, mrcnn.predict_images(model, images), strict=True)):
        for d, (mask, box) in enumerate(zip(theirs["detection_masks"], theirs["detection_boxes"], strict=True)):
            expected = np.zeros((96, 96), np.uint8)
            crop, (y, x) = paste_mask(mask, box, image.shape[:2], "continuous")
            expected[y : y + crop.shape[0], x : x + crop.shape[1]] = crop >= 0.5
            different = np.count_nonzero(found["serving_bytes-3"]["detection_masks"][b, d] != expected)
            assert different <= 0.01 * max(expected.sum(), 100)


def test_bfloat16_halves_the_weights(model, folder, tmp_path, monkeypatch):
    # Random weights fail it by rounding; tests/test_deploy_docs.py has trained ones.
    monkeypatch.setattr(to_saved_model, "_check", lambda *_: None)
    saved_model(model, tmp_path / "1", dtype="bfloat16")
    sizes = [sum(file.stat().st_size for file in (path / "variables").iterdir()) for path in (tmp_path / "1", folder)]
    assert sizes[0] < 0.6 * sizes[1]


def test_a_difference_is_refused(folder, tmp_path, monkeypatch):
    """The SavedModel of another model, written before, is taken for that of a changed one."""

    def write(model, path, *_):
        shutil.copytree(folder, path, ignore=shutil.ignore_patterns("assets.extra"))

    changed = finding_model()
    changed.box_head.classes.bias.assign_add([0.0, 0.3, 0.0, 0.0])
    monkeypatch.setattr(to_saved_model, "_save", write)
    with pytest.raises(ExportError, match=r"the exported model differs from the Keras model in \d+ of \d+ detections"):
        saved_model(changed, tmp_path / "1")
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments(model, tmp_path):
    with pytest.raises(ExportError, match="dtype is 'float16'; allowed: 'float32', 'bfloat16'"):
        saved_model(model, tmp_path / "1", dtype="float16")
    with pytest.raises(ExportError, match=r"class_names is \(\) and num_classes is 3; allowed: a name for each class"):
        saved_model(tiny_model(), tmp_path / "1")
    with pytest.raises(ExportError, match="it exists already"):
        saved_model(model, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow  # a ResNet-50 with the recipe's weights
@pytest.mark.parametrize("case", ["maskA", "d2A"])
def test_resnet50_on_photos(alone, case, tmp_path):
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real images are absent: {SHARED_DATA}")
    config = golden_config(case)
    config.class_names = tuple("abcdef")
    config.category_ids = (1, 2, 3, 4, 5, 90)
    model = fill(mrcnn.MaskRCNN(config))
    images = read_folder(SHARED_DATA / "coco_small" / "val" / "images", 6)
    saved_model(model, tmp_path / "1", images)
    found = check_alone(alone, model, tmp_path / "1", images, tmp_path)
    assert min(outputs["num_detections"].min() for outputs in found.values()) > 0
