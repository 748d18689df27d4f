"""Results as people use them, against pycocotools, the parts that they come from, and what other packages document."""

import sys
import types

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mask_rcnn_tf import visualize
from mask_rcnn_tf.coco import contours, results
from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.detections import Detections

IMAGE = np.random.default_rng(2).integers(0, 256, (60, 80, 3), np.uint8)
NAMES = ("cat", "dog", "owl")


def model_config(**fields):
    return ModelConfig(num_classes=3, **{"class_names": NAMES, "category_ids": (7, 90, 4)} | fields)


def random_masks(count, side=28):
    """Probabilities that paste to masks with holes and parts."""
    coarse = np.random.default_rng(0).random((count, 7, 7)).astype(np.float32)
    return np.kron(coarse, np.ones((1, side // 7, side // 7), np.float32))


def found(config=None, path=None, **more):
    arrays = {
        "detection_boxes": np.array([[10, 20.4, 50.5, 60], [0, 0, 30, 25], [55, 70, 60, 80]], np.float32),
        "detection_scores": np.array([0.9, 0.8, 0.3], np.float32),
        "detection_classes": np.array([2, 1, 2], np.int32),
        "detection_masks": random_masks(3),
    }
    return Detections(arrays | more, (60, 80), config or model_config(), path)


def boxes_alone():
    several = found()
    del several._arrays["detection_masks"]
    return several


def test_polygons_filled_are_the_masks():
    several = found()
    assert max(map(len, several.polygons())) > 3  # parts and holes
    for one, rings in zip(several, several.polygons(), strict=True):
        ring = contours.joined(rings).ravel().tolist()  # a line there and back has no area
        filled = coco_mask.decode(coco_mask.frPyObjects([ring], 60, 80))[..., 0]
        np.testing.assert_array_equal(filled.astype(bool), one.mask)
        assert all(np.array_equal(a, b) for a, b in zip(one.polygons, rings, strict=True))
    assert boxes_alone().polygons() is None and boxes_alone()[0].polygons is None


def test_a_mask_of_too_many_parts_is_named(monkeypatch):
    monkeypatch.setattr(contours, "MOST", 1)
    with pytest.raises(ValueError, match=r"object 0: .*parts and holes for a polygon: .*; its mask is `mask\(0\)`"):
        found().polygons()


@pytest.mark.parametrize("paste, threshold", [("continuous", 0.5), ("integer", 0.4)])
def test_coco_results_are_the_masks(paste, threshold):
    config = model_config()
    config.detection.paste, config.detection.mask_threshold = paste, threshold
    points = np.random.default_rng(1).random((3, 2, 3)).astype(np.float32)
    several = found(config, detection_keypoints=points)
    rows = several.to_coco(42)
    assert rows == results.to_results(dict(several), 42, (60, 80), (7, 90, 4), threshold, paste)
    for one, row, mask in zip(several, rows, several.masks, strict=True):
        assert (row["image_id"], row["category_id"], row["score"]) == (42, one.category_id, one.score)
        np.testing.assert_array_equal(coco_mask.decode(row["segmentation"]), one.mask)
        np.testing.assert_array_equal(mask, one.mask)
        np.testing.assert_allclose(np.reshape(row["keypoints"], (-1, 3)) + (0.5, 0.5, 0), one.keypoints, atol=1e-6)
    assert several.select(classes=["cat"]).to_coco(42) == [rows[1]]


def test_plot_draws_what_visualize_draws(tmp_path):
    several, path = found(), tmp_path / "a.png"
    expected = visualize.draw(
        IMAGE, several.boxes, several.class_names, several.masks, several.scores, several.category_ids
    )
    np.testing.assert_array_equal(np.asarray(several.plot(IMAGE)), expected)
    Image.fromarray(IMAGE).save(path)
    np.testing.assert_array_equal(np.asarray(found(path=path).plot()), expected)
    several.plot(IMAGE).save(tmp_path / "drawn.png")
    assert several.select(0.5).plot(IMAGE) != several.plot(IMAGE)


@pytest.mark.parametrize(
    "image, path, message",
    [
        (None, None, r"image is None; allowed: uint8 \[h, w, 3\], RGB, since the image was predicted from an array"),
        (None, "gone.png", "^gone.png: there is no such file"),
        (IMAGE[:59], None, r"image is uint8 \[59, 80, 3\]; allowed: uint8 \[60, 80, 3\], the image that was predicted"),
        (IMAGE / 255, None, r"image is float64 \[60, 80, 3\]; allowed: uint8"),
        ("a.png", None, r"image is <U5 \[\]; allowed"),
    ],
)
def test_what_cannot_be_plotted(image, path, message):
    with pytest.raises(ValueError, match=message) as caught:
        found(path=path).plot(image)
    assert "\n" not in str(caught.value)


def test_a_model_without_names_gives_numbers():
    several = found(model_config(class_names=()))
    assert several.class_names == ["90", "7", "90"] and len(several.select(classes=["7"])) == 1
    assert np.array_equal(several.plot(IMAGE), visualize.draw_results(IMAGE, several.to_coco(1)))
    assert found(model_config(class_names=(), category_ids=())).class_names == ["2", "1", "2"]


class Recorded(types.SimpleNamespace):
    """Takes the arguments that the package's class of the name documents."""


def test_to_supervision(monkeypatch):
    """As documented: corners x1, y1, x2, y2; bool masks of the image; class ids from 0; names under "class_name"."""

    def make(xyxy, mask=None, confidence=None, class_id=None, tracker_id=None, data=None, metadata=None):
        return Recorded(xyxy=xyxy, mask=mask, confidence=confidence, class_id=class_id, data=data)

    monkeypatch.setitem(sys.modules, "supervision", types.SimpleNamespace(Detections=make))
    several = found()
    given = several.to_supervision()
    assert given.xyxy.tolist() == [[x1, y1, x2, y2] for y1, x1, y2, x2 in several.boxes.tolist()]
    np.testing.assert_array_equal(given.mask, several.masks)
    assert given.class_id.tolist() == [1, 0, 1] and given.confidence.tolist() == several.scores.tolist()
    assert given.data["class_name"].tolist() == ["dog", "cat", "dog"]
    assert given.data["category_id"].tolist() == [90, 7, 90]
    assert boxes_alone().to_supervision().mask is None
    nothing = found().select(1.0).to_supervision()
    assert (nothing.xyxy.shape, nothing.mask.shape, nothing.data["class_name"].shape) == ((0, 4), (0, 60, 80), (0,))


def test_to_fiftyone(monkeypatch):
    """As documented: x, y, width, height relative to the image, and the mask of the pixels of the box alone."""

    def make(label=None, bounding_box=None, mask=None, confidence=None):
        return Recorded(label=label, bounding_box=bounding_box, mask=mask, confidence=confidence)

    package = types.SimpleNamespace(Detection=make, Detections=lambda detections: Recorded(detections=detections))
    monkeypatch.setitem(sys.modules, "fiftyone", package)
    several = found(detection_boxes=np.array([[10, 20.4, 50.5, 60], [0, 0, 30, 25], [3, 3, 3.2, 9]], np.float32))
    labels = several.to_fiftyone().detections
    assert [label.label for label in labels] == ["dog", "cat", "dog"]
    np.testing.assert_allclose(labels[0].bounding_box, [20.4 / 80, 10 / 60, 39.6 / 80, 40.5 / 60], rtol=1e-6)
    np.testing.assert_array_equal(labels[0].mask, several.mask(0)[10:50, 20:60])
    np.testing.assert_array_equal(labels[1].mask, several.mask(1)[:30, :25])
    assert labels[2].mask is None  # no row of pixels
    assert labels[0].confidence == several[0].score
    assert boxes_alone().to_fiftyone().detections[0].mask is None


@pytest.mark.parametrize("package", ["supervision", "fiftyone"])
def test_a_package_that_is_missing_is_one_line(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=f"^package {package} cannot be imported .*; allowed: `pip install {package}`"):
        getattr(found(), f"to_{package}")()
