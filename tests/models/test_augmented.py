"""Test-time augmentation: Detectron2's own (golden_tta), and the merging of the plain model's outputs in NumPy."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from recipe_models import SWAP, golden_config, golden_scene
from recipe_models import fill as fill_by_recipe
from tiny import finding_config, finding_model, tiny_model

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.ops import keypoints as keypoint_ops

PAIRS = ((0, 1),)  # of the tiny model's three keypoints


def keypoint_config(kernels="native"):
    config = finding_config(kernels, score_threshold=0.05)
    config.keypoint_head.enabled, config.keypoint_head.num_keypoints = True, 3
    config.keypoint_head.channels, config.keypoint_head.num_convs = 16, 1
    config.keypoint_head.flip_pairs = PAIRS
    return config


@pytest.fixture(scope="module")
def model():
    return finding_model(config=keypoint_config())


@pytest.fixture(scope="module")
def image():
    scene = Image.fromarray(np.random.default_rng(1).integers(0, 256, (9, 12, 3), np.uint8))
    return np.asarray(scene.resize((130, 101), Image.Resampling.BICUBIC))


def test_as_detectron2(golden):
    """Two sizes, mirrored and not: boxes, scores, classes, and the averages of their masks."""
    golden, config = golden("golden_tta"), golden_config("d2A")
    settings = json.loads(str(golden["meta"]))
    config.preprocess.antialias = config.preprocess.round_resized = True
    config.preprocess.size_rounding = "nearest"
    sides = mrcnn.AugmentationConfig(tuple(settings["settings"]["TEST.AUG.MIN_SIZES"]), max_side=400, flip=True)
    scene = golden_scene(*settings["scene"])
    (found,) = mrcnn.predict_images(fill_by_recipe(mrcnn.MaskRCNN(config)), [scene["image"]], sides)
    np.testing.assert_array_equal(found["detection_classes"] - 1, golden["classes0"])
    np.testing.assert_allclose(found["detection_scores"], golden["scores"], atol=1e-4)
    np.testing.assert_allclose(found["detection_boxes"][:, SWAP], golden["boxes"], atol=1e-2)
    np.testing.assert_allclose(found["detection_masks"], golden["masks"], atol=1e-3)


def test_one_view_is_the_plain_model(model, image):
    (plain,) = mrcnn.predict_images(model, [image])
    (found,) = mrcnn.predict_images(model, [image], mrcnn.AugmentationConfig((96,), flip=False))
    assert plain.keys() == found.keys() and len(plain["detection_scores"]) > 3
    for name, tolerance in {"boxes": 1e-3, "scores": 0, "classes": 0, "masks": 1e-4}.items():
        name = f"detection_{name}"
        np.testing.assert_allclose(found[name], plain[name], atol=tolerance, err_msg=name)
    np.testing.assert_allclose(found["detection_keypoints"][..., :2], plain["detection_keypoints"][..., :2], atol=1e-2)


def view_of(model, image, side, mirrored):
    """The plain model's tensors of one view, its own (h, w), from Pillow's pixels."""
    preprocess = model.config.preprocess
    scale = min(side / min(image.shape[:2]), side / 96 * 128 / max(image.shape[:2]))
    height, width = (int(length * scale + 0.5) for length in image.shape[:2])
    pixels = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    pixels = pixels[:, ::-1] if mirrored else pixels
    pixels = pixels[..., ::-1] if preprocess.channel_order == "BGR" else pixels
    levels = (pixels * preprocess.pixel_scale - np.array(preprocess.mean)) / np.array(preprocess.std)
    canvas = np.pad(levels, [(0, -height % 32), (0, -width % 32), (0, 0)]).astype(np.float32)
    return model.trace(tf.constant(canvas[None]), tf.constant([[height, width]])), (height, width)


def move(boxes, from_shape, to_shape, mirror_width=None):
    boxes = np.asarray(boxes, np.float64)
    if mirror_width is not None:
        boxes = np.stack([boxes[:, 0], mirror_width - boxes[:, 3], boxes[:, 2], mirror_width - boxes[:, 1]], 1)
    return boxes * np.tile(np.divide(to_shape, from_shape), 2)


def greedy_nms(boxes, scores, classes, threshold, most):
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        corners = [(np.maximum(boxes[i, :2], boxes[k, :2]), np.minimum(boxes[i, 2:], boxes[k, 2:])) for k in kept]
        areas = [np.prod(np.maximum(high - low, 0)) for low, high in corners]
        own, theirs = np.prod(boxes[i, 2:] - boxes[i, :2]), [np.prod(boxes[k, 2:] - boxes[k, :2]) for k in kept]
        same = [classes[k] == classes[i] for k in kept]
        if not any(s and a > threshold * (own + t - a) for s, a, t in zip(same, areas, theirs, strict=True)):
            kept.append(i)
    return kept[:most]


def merged_by_hand(model, image, sides):
    """Boxes, scores and classes in float64, and the mean masks and heat maps of the heads on these boxes."""
    views = [(view_of(model, image, side, mirrored), mirrored) for side in sides for mirrored in (False, True)]
    boxes, scores, classes = [], [], []
    for (tensors, shape), mirrored in views:
        count = int(tensors["num_detections"][0])
        boxes.append(move(tensors["detection_boxes"][0, :count], shape, image.shape[:2]))
        if mirrored:
            boxes[-1] = move(boxes[-1], (1, 1), (1, 1), image.shape[1])
        scores += tensors["detection_scores"][0, :count].numpy().tolist()
        classes += tensors["detection_classes"][0, :count].numpy().tolist()
    boxes, scores, classes = np.concatenate(boxes), np.array(scores), np.array(classes)
    boxes = np.clip(boxes, 0, np.tile(image.shape[:2], 2))
    kept = greedy_nms(boxes, scores, classes, model.config.detection.nms_iou, model.config.detection.max_detections)
    boxes, scores, classes = boxes[kept], scores[kept], classes[kept]
    masks, maps = zip(*(answers(model, *view, boxes, classes, image.shape[:2]) for view in views), strict=True)
    return boxes, scores, classes, np.mean(masks, 0), np.mean(maps, 0)


def answers(model, view, mirrored, boxes, classes, image_shape):
    """Masks and heat maps of given boxes in one view, turned back where it is mirrored, in float64."""
    tensors, shape = view
    there = move(boxes, image_shape, image_shape, image_shape[1] if mirrored else None)
    there = tf.constant(move(there, image_shape, shape)[None], tf.float32)
    rows = model.pooler.rows(tf.ones([1, len(boxes)], bool))
    side = model.mask_head.pool_size
    pooled = model.pooler.pool(tensors["roi_features"], there, rows, side)
    masks = 1 / (1 + np.exp(-np.float64(model.mask_head(pooled, tf.constant(classes, tf.int32)))))
    pooled = model.pooler.pool(tensors["roi_features"], there, rows, model.keypoint_head.pool_size)
    maps = np.float64(model.keypoint_head(pooled))
    return (masks[:, :, ::-1], maps[:, :, ::-1, [1, 0, 2]]) if mirrored else (masks, maps)


@pytest.mark.parametrize("kernels", ["native", "xla"])
def test_views_are_merged_as_by_hand(model, image, kernels):
    sides = (80, 96)
    boxes, scores, classes, masks, maps = merged_by_hand(model, image, sides)
    used = model if kernels == "native" else model.with_kernels(kernels)
    found = mrcnn.make_predictor(used, mrcnn.AugmentationConfig(sides))([image])[0]
    assert len(boxes) > 3
    np.testing.assert_array_equal(found["detection_classes"], classes)
    np.testing.assert_allclose(found["detection_scores"], scores, atol=1e-4)
    np.testing.assert_allclose(found["detection_boxes"], boxes, atol=1e-2)
    np.testing.assert_allclose(found["detection_masks"], masks, atol=2e-3)
    scale = np.divide((96, 124), image.shape[:2])  # keypoints are decoded where the model itself decodes
    rois = tf.constant(boxes * np.tile(scale, 2), tf.float32)
    points = keypoint_ops.find_peaks_native(tf.constant(maps, tf.float32), rois, 256).points / scale[::-1]
    distance = np.abs(found["detection_keypoints"][..., :2] - points).max(-1)
    assert np.mean(distance < 1e-2) >= 0.9  # ties of the logits of two pixels aside


def test_what_is_refused(model):
    with pytest.raises(ValueError, match=r"augmentation\.short_sides is \(\); allowed: at least one"):
        mrcnn.models.augmented.AugmentedPredictor(model, mrcnn.AugmentationConfig())
    with pytest.raises(ValueError, match="model finds no boxes"):
        mrcnn.make_predictor(mrcnn.MaskRCNN(finding_config(), heads=[]), mrcnn.AugmentationConfig((96,)))
    head = tiny_model().mask_head
    head.averaged = ""
    config = finding_config()
    heads = [*mrcnn.MaskRCNN(config).roi_heads[:1], head]
    with pytest.raises(ValueError, match="head 'mask_head' has no `averaged`"):
        mrcnn.make_predictor(mrcnn.MaskRCNN(config, heads=heads), mrcnn.AugmentationConfig((96,)))


def test_nothing_found(image):
    """No view finds anything: empty arrays of the right shapes."""
    config = keypoint_config()
    config.detection.score_threshold = 1.0
    (found,) = mrcnn.predict_images(finding_model(config=config), [image], mrcnn.AugmentationConfig((64, 96)))
    assert found["detection_boxes"].shape == (0, 4) and found["detection_keypoints"].shape == (0, 3, 3)
    assert found["detection_masks"].shape == (0, 28, 28)
