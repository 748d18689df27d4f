"""Exports that differ are refused; those that do not are let through."""

import copy

import numpy as np
import pytest
from tiny import tiny_model

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.export import verification
from mask_rcnn_tf.export.check_images import drawn_scenes
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.runners.keras_model import KerasRunner
from mask_rcnn_tf.export.verification import check_runner, verify


class Changed:
    """The Keras model, whose detections a function changes."""

    def __init__(self, model, change, canvas=None):
        self.runner, self.change = KerasRunner(model, canvas), change
        self.config, self.canvas = self.runner.config, canvas

    def predict(self, images):
        return [self.change(found) for found in self.runner.predict(images)]


@pytest.fixture(scope="module")
def model():
    model = tiny_model()
    model.box_head.classes.kernel.assign(model.box_head.classes.kernel * 30.0)  # scores that are far from each other
    model.mask_head.kernel.assign(model.mask_head.kernel * 1000.0)  # and probabilities far from the threshold
    return model


@pytest.fixture(scope="module")
def images(model):
    return drawn_scenes(model.config, 5)[::4]  # two of one size: a size takes seconds to trace


def without(found, rows):
    return {name: np.delete(value, rows, 0) for name, value in found.items()}


def moved(found, pixels):
    return {**found, "detection_boxes": found["detection_boxes"] + np.float32(pixels)}


def rescored(found, difference):
    return {**found, "detection_scores": found["detection_scores"] + np.float32(difference)}


def with_full_masks(found):
    return {**found, "detection_masks": np.ones_like(found["detection_masks"])}


def with_other_masks(found):
    return {**found, "detection_masks": 1 - found["detection_masks"]}


def with_nan(found):
    return {**found, "detection_boxes": found["detection_boxes"] * np.float32("nan")}


def unmasked(found):
    return {name: value for name, value in found.items() if name != "detection_masks"}


def test_the_same_passes(model, images):
    check_runner(Changed(model, lambda found: moved(rescored(found, 5e-5), 1e-3)), model, images)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda found: without(found, [0]), "in reference alone"),
        (lambda found: without(found, slice(None)), "in reference alone"),
        (lambda found: moved(found, 0.02), "differs by 0.02 px"),
        (lambda found: rescored(found, 3e-4), "0.0003 in score"),
        (with_other_masks, "mask IoU"),
        (with_full_masks, "mask IoU"),
        (with_nan, "detection_boxes on image 1 that are not finite"),
        (unmasked, "no detection_masks"),
    ],
)
def test_differences_are_refused(model, images, change, message):
    with pytest.raises(ExportError, match=message) as error:
        check_runner(Changed(model, change), model, images)
    assert len(str(error.value).splitlines()) <= 1 + verification.SHOWN


def test_the_canvas_of_the_export_is_the_references(model, images):
    """Zeros below the image change what the network sees: the reference must have them too."""
    wide = Changed(model, lambda found: found, (96, 128))
    check_runner(wide, model, images)
    wide.canvas = None
    with pytest.raises(ExportError, match="differs"):
        check_runner(wide, model, images)


def test_least_agreement(model, images):
    check_runner(Changed(model, lambda found: moved(rescored(found, 0.01), 0.05)), model, images, 0.9)
    with pytest.raises(ExportError, match="agrees with the Keras model on 0.000 .* at least 0.8"):
        check_runner(Changed(model, lambda found: moved(found, 300.0)), model, images, 0.8)
    with pytest.raises(ExportError, match="on 0.000"):
        check_runner(Changed(model, lambda found: without(found, slice(None))), model, images, 0.8)


def test_a_model_of_mixed_precision_is_compared_in_float32(model, images):
    """`dtype="auto"` is mixed precision on some machines; what it rounds is no fault of the export."""
    config = copy.deepcopy(model.config)
    config.dtype = "mixed_bfloat16"
    mixed = mrcnn.MaskRCNN(config)
    mixed.set_weights(model.get_weights())
    check_runner(KerasRunner(model), mixed, images[:1])
    assert mixed.config.dtype == "mixed_bfloat16"


def test_nothing_to_compare_is_an_error(model, images, monkeypatch):
    monkeypatch.setattr(verification, "find", lambda *_: [])
    with pytest.raises(ExportError, match="finds nothing on any of 2 images"):
        check_runner(Changed(model, lambda found: found), model, images)


def test_only_detections_at_the_threshold_are_nothing(model, images, monkeypatch):
    results = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.010001}]
    monkeypatch.setattr(verification, "find", lambda runner, *_: [] if isinstance(runner, Changed) else results)
    with pytest.raises(ExportError, match="within rounding of the score threshold 0.01"):
        check_runner(Changed(model, lambda found: found), model, images)


def test_the_way_of_pasting_reaches_the_comparison(model, images, monkeypatch):
    """Masks are pasted continuously, whatever the model's rule, but for an export that has pasted them itself."""
    seen = []
    compare = verification.compare

    def spy(*args, mask_size):
        seen.append((*args[5:], mask_size))
        return compare(*args, mask_size=mask_size)

    monkeypatch.setattr(verification, "compare", spy)
    monkeypatch.setattr(model.config.detection, "paste", "integer")
    check_runner(Changed(model, lambda found: found), model, images)
    check_runner(Changed(model, lambda found: found), model, images, paste="integer")
    assert seen == [("continuous", 28), ("integer", 28)]


def test_a_paste_that_may_go_either_way_is_no_difference(model, images, monkeypatch):
    """A box that moves by less than its tolerance and over an integer is pasted a pixel further."""
    monkeypatch.setattr(model.config.detection, "paste", "integer")
    runner = Changed(model, lambda found: moved(found, 0.002))
    check_runner(runner, model, images)
    check_runner(runner, model, images, paste="integer")


def test_verify_loads_what_was_written(model, images, monkeypatch):
    loaded = []
    runner = Changed(model, lambda found: moved(found, 0.02))
    monkeypatch.setattr(verification, "load", lambda path: loaded.append(path) or runner)
    with pytest.raises(ExportError, match="differs by 0.02 px"):
        verify("place", model, images[:1])
    verify("place", model, images[:1], 0.9)
    assert loaded == ["place"] * 2
