"""torchvision's names and layouts: nothing lost, nothing invented, and back again."""

import json
import re

import keras
import numpy as np
import pytest
import recipe
import tensorflow as tf
from conftest import GOLDEN
from tiny import tiny_config, tiny_model

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.config import KeypointHeadConfig, person_keypoints
from mask_rcnn_tf.models.heads.keypoint import KeypointHead
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.exporter import to_torchvision
from mask_rcnn_tf.weights.mapping import assign
from mask_rcnn_tf.weights.projects import torch_layouts as layouts
from mask_rcnn_tf.weights.projects import torchvision
from mask_rcnn_tf.weights.projects.coco_categories import COCO_NAMES

NAMES = json.loads((GOLDEN / "torchvision_names.json").read_text())


def checkpoint(name):
    """Zeros under every name of a torchvision model, with its shapes."""
    return {key: np.zeros(shape, np.float32) for key, shape in NAMES[name].items()}


def put(tensors, config=None):
    tensors = torchvision.prepare(tensors)
    config = config or torchvision.make_config(tensors).model
    model = mrcnn.MaskRCNN(config)
    return model, assign(model, torchvision.make_entries(model, tensors), tensors, torchvision.IGNORED)


@pytest.mark.parametrize(
    ("name", "num_classes", "ignored"),
    [
        ("maskrcnn_resnet50_fpn", 90, {"counts"}),
        ("maskrcnn_resnet50_fpn_v2", 90, {"counts"}),
        ("keypointrcnn_resnet50_fpn", 1, {"counts"}),
    ],
)
def test_every_tensor_is_used_or_named_and_every_variable_set(name, num_classes, ignored):
    tensors = checkpoint(name)
    model, report = put(tensors)
    assert report.initial == []
    assert set(report.used) | set(report.ignored) == set(tensors)
    assert {reason.split(" is ")[0].split(" training")[0] for reason in report.ignored.values()} == ignored
    assert model.config.num_classes == num_classes
    assert model.config.class_names[0] == "person" and model.config.category_ids[0] == 1


def test_a_backbone_alone_is_a_starting_point():
    tensors = checkpoint("resnet50")
    model, report = put(tensors)
    assert {path.split("/")[-3 if "conv" in path else 0] for path in report.initial}  # named, and none of the backbone
    assert not [path for path in report.initial if path.startswith("backbone")]
    assert len(report.initial) + len(report.used) == len(model.weights)
    assert {name for name, why in report.ignored.items() if "classifier" in why} == {
        "backbone.body.fc.weight",
        "backbone.body.fc.bias",
    }
    assert model.config.backbone.norm_epsilon == 1e-5


def test_the_published_file_of_v1_has_older_names():
    """Names of maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth, which torchvision's modules rename while they load it."""
    old = {
        "backbone.fpn.inner_blocks.2.weight": "backbone.fpn.inner_blocks.2.0.weight",
        "backbone.fpn.layer_blocks.0.bias": "backbone.fpn.layer_blocks.0.0.bias",
        "rpn.head.conv.weight": "rpn.head.conv.0.0.weight",
        "roi_heads.mask_head.mask_fcn1.weight": "roi_heads.mask_head.0.0.weight",
        "roi_heads.mask_head.mask_fcn4.bias": "roi_heads.mask_head.3.0.bias",
        "rpn.head.cls_logits.weight": "rpn.head.cls_logits.weight",
        "backbone.body.layer1.0.conv1.weight": "backbone.body.layer1.0.conv1.weight",
    }
    assert list(torchvision.prepare(dict.fromkeys(old))) == list(old.values())
    today = dict.fromkeys(NAMES["maskrcnn_resnet50_fpn_v2"])
    assert list(torchvision.prepare(today)) == list(today)


def test_the_keypoint_head_is_read_off_the_file():
    tensors = checkpoint("keypointrcnn_resnet50_fpn")
    head = torchvision.make_config(tensors).model.keypoint_head
    assert head == person_keypoints() and head.names[16] == "right_ankle"
    score = "roi_heads.keypoint_predictor.kps_score_lowres"
    own = {name: value for name, value in tensors.items() if ".keypoint_head.14." not in name}
    own |= {f"{score}.weight": np.zeros((512, 4, 4, 4)), f"{score}.bias": np.zeros(4)}
    head = torchvision.make_config(own).model.keypoint_head
    assert (head.num_keypoints, head.num_convs, head.names, head.flip_pairs) == (4, 7, (), ())
    own[f"{score}.weight"] = np.zeros((512, 4))
    with pytest.raises(CheckpointError, match=r"kps_score_lowres.weight is \[512, 4\]; allowed: 4 axes"):
        torchvision.make_config(own)


def test_keypoint_head_as_torchvision(golden):
    """The last layers alone: a deconvolution and the doubling after it."""
    golden, case = golden("unit_layers"), "keypoint_predictor"
    head = KeypointHead(4, num_convs=0, pool_size=7)
    head.build((None, 7, 7, 6))
    score = "roi_heads.keypoint_predictor.kps_score_lowres"
    for entry in layouts.keypoint_head([], score, head):
        name = entry.sources[0].name.rsplit(".", 1)[1]
        entry.variable.assign(entry.to_ours(golden[f"{case}/weights/kps_score_lowres.{name}"]))
    found = head(tf.constant(golden[f"{case}/in/x"].transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(np.transpose(found, (0, 3, 1, 2)), golden[f"{case}/out/y"], atol=1e-5)


@pytest.mark.parametrize("norm", ["batch_norm", "none"])
def test_round_trip_of_every_variable(norm):
    config = tiny_config()
    config.keypoint_head = KeypointHeadConfig(enabled=True, num_keypoints=5, num_convs=2, channels=8)
    config.box_head.num_convs, config.box_head.num_fcs = (2, 1) if norm != "none" else (0, 2)
    config.fpn.norm = config.box_head.norm = config.mask_head.norm = norm
    random = np.random.default_rng(0)
    model = mrcnn.MaskRCNN(config)
    for weight in model.weights:
        weight.assign(random.normal(size=weight.shape))
    tensors = to_torchvision(model)
    assert all(value.dtype == np.float32 for value in tensors.values())
    other, report = put(tensors, config)
    assert report.initial == [] and report.ignored == {}
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.path)
    for name in ("box_predictor.bbox_pred.weight", "mask_predictor.mask_fcn_logits.bias"):
        background = tensors[f"roi_heads.{name}"][: 4 if "bbox" in name else 1]
        assert not background.any()


def test_a_mask_head_that_torchvision_has_not_is_refused():
    config = tiny_config()
    config.mask_head.activation = "softmax"
    with pytest.raises(CheckpointError, match="activation 'softmax', which torchvision has not"):
        to_torchvision(mrcnn.MaskRCNN(config))


def test_what_does_not_fit_is_named_and_nothing_is_written():
    model = tiny_model()
    before = [weight.numpy() for weight in model.weights]
    tensors = to_torchvision(model)
    tensors["rpn.head.cls_logits.bias"] = np.zeros(7, np.float32)
    tensors["roi_heads.box_head.fc9.weight"] = np.zeros((2, 2), np.float32)
    for i in range(4):
        del tensors[f"backbone.fpn.inner_blocks.{i}.0.weight"], tensors[f"backbone.fpn.layer_blocks.{i}.0.weight"]
    with pytest.raises(CheckpointError) as error:
        put_into(model, tensors)
    text = str(error.value)
    assert "8 missing: backbone.fpn.inner_blocks.0.0.weight" in text and "and 3 more" in text
    assert "1 unexpected: roi_heads.box_head.fc9.weight" in text
    assert "rpn.head.cls_logits.bias has shape [7], the model needs [1]" in text
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_values_that_float32_cannot_hold_are_named():
    model = tiny_model()
    tensors = to_torchvision(model)
    tensors["rpn.head.cls_logits.bias"] = np.array([1e300])
    with pytest.raises(CheckpointError, match="rpn.head.cls_logits.bias: the values give rpn_head/.* not finite"):
        put_into(model, tensors)


def test_masks_of_other_classes_than_the_boxes_are_refused_with_what_to_do():
    """A box predictor of somebody's own classes beside COCO's masks."""
    tensors = checkpoint("maskrcnn_resnet50_fpn")
    tensors[torchvision.CLASS_WEIGHT] = np.zeros((4, 1024), np.float32)
    with pytest.raises(
        CheckpointError, match="The box head has 4 classes .* Replace it too .* or delete all of"
    ) as error:
        torchvision.make_config(tensors)
    named = re.findall(r"roi_heads\.mask_\w+", str(error.value).split("delete")[1])
    assert named == ["roi_heads.mask_head", "roi_heads.mask_predictor"]
    boxes = {name: value for name, value in tensors.items() if not name.startswith(tuple(named))}
    config = torchvision.make_config(boxes).model
    assert config.num_classes == 3 and not config.mask_head.enabled


def put_into(model, tensors):
    return assign(model, torchvision.make_entries(model, tensors), tensors, torchvision.IGNORED)


def test_a_checkpoint_without_classes_is_named():
    tensors = {"roi_heads.box_head.fc6.weight": np.zeros((4, 4), np.float32)}
    with pytest.raises(CheckpointError, match="cls_score.weight, by whose first axis .* is missing"):
        torchvision.make_config(tensors)


def test_coco_names():
    """COCO has 80 categories with ids up to 90, without these ten."""
    assert set(range(1, 91)) - set(COCO_NAMES) == {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    assert len(set(COCO_NAMES.values())) == 80
    assert (COCO_NAMES[13], COCO_NAMES[37], COCO_NAMES[62], COCO_NAMES[90]) == (
        "stop sign",
        "sports ball",
        "chair",
        "toothbrush",
    )


def test_classes_of_somebody_else_are_numbered():
    for num_classes in (1, 5):
        config = tiny_config()
        config.num_classes = num_classes
        tensors = to_torchvision(mrcnn.MaskRCNN(config))
        model = torchvision.make_config(tensors).model
        assert (model.num_classes, model.class_names, model.category_ids) == (num_classes, (), ())


def test_recipe_and_golden_names_agree():
    """golden_maskA..C were made with these names; test_golden_inference checks the numbers."""
    params = json.loads((GOLDEN / "params_mask.json").read_text())
    ours = torchvision.all_entries(mrcnn.MaskRCNN(_seven_classes()))
    assert {entry.sources[0].name: list(entry.sources[0].shape) for entry in ours} == {
        name: value["shape"] for name, value in params.items()
    }
    assert (
        recipe.crc(recipe.fill_array("rpn.head.cls_logits.bias", (3,))) == params["rpn.head.cls_logits.bias"]["crc32"]
    )


def _seven_classes():
    config = mrcnn.load_config("torchvision_mask_rcnn_r50_fpn").model
    config.num_classes = 6
    return config


def test_converted_model_predicts_at_once_with_its_names(tmp_path):
    config = tiny_config()
    config.class_names, config.category_ids = ("a", "b", "c"), (7, 8, 30)
    model = mrcnn.MaskRCNN(config)
    other, _ = put(to_torchvision(model), config)
    other.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.config.class_names == ("a", "b", "c") and loaded.config.category_ids == (7, 8, 30)
    image = np.random.default_rng(0).integers(0, 255, (1, 90, 120, 3), np.uint8)
    ours, theirs = model(image), loaded(image)
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)
