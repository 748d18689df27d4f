"""Detectron2's names and layouts: nothing lost, and the detections of Detectron2 itself from the same weights."""

import pickle

import detectron2_names as d2
import numpy as np
import pytest
from recipe_models import SWAP, golden_config, golden_scene, prepared

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.importer import import_checkpoint
from mask_rcnn_tf.weights.mapping import assign, to_theirs
from mask_rcnn_tf.weights.projects import detectron, detectron2

BOTTOM_UP = "backbone.bottom_up."


def put(tensors, config=None):
    tensors = detectron2.prepare(tensors)
    config = config or detectron2.make_config(tensors)
    if not detectron2.is_detector(tensors):  # a backbone's heads are the preset's
        config.model.fpn.channels = config.model.rpn.channels = config.model.mask_head.channels = 16
        config.model.box_head.conv_channels, config.model.box_head.fc_channels = 16, 24
    model = mrcnn.MaskRCNN(config.model)
    entries = detectron2.make_entries(model, tensors)
    return config, model, assign(model, entries, tensors, detectron2.IGNORED), entries


def test_detections_of_detectron2(golden):
    """Detectron2's own detections (golden_d2A) from its own names and layouts."""
    golden, model = golden("golden_d2A"), mrcnn.MaskRCNN(golden_config("d2A"))
    tensors = d2.golden_weights()
    report = assign(model, detectron2.make_entries(model, tensors), tensors, detectron2.IGNORED)
    assert not report.initial and set(report.used) == set(tensors)
    image, image_shape = prepared(model, [golden_scene("sceneA", 320, 416)], (320, 416))
    ours = {name: value[0].numpy() for name, value in model({"image": image, "image_shape": image_shape}).items()}
    np.testing.assert_array_equal(ours["detection_classes"] - 1, golden["final/classes0"])
    np.testing.assert_allclose(ours["detection_scores"], golden["final/scores"], atol=1e-4)
    np.testing.assert_allclose(ours["detection_boxes"][:, SWAP], golden["final/boxes"], atol=1e-2)
    np.testing.assert_allclose(ours["detection_masks"], golden["final/mask_probs28"], atol=1e-3)


def test_every_tensor_of_mask_rcnn_r50_fpn():
    tensors = d2.empty(d2.shapes())
    legacy = {f"proposal_generator.anchor_generator.cell_anchors.{i}": np.zeros((3, 4), np.float32) for i in range(5)}
    legacy |= {"pixel_mean": np.float32([[[103.53]], [[116.28]], [[123.675]]]), "pixel_std": np.ones((3, 1, 1), "f4")}
    config, _, report, _ = put(tensors | legacy)
    assert len(tensors) == 307  # of `build_model` for mask_rcnn_R_50_FPN_3x
    assert report.initial == [] and set(report.used) == set(tensors) and set(report.ignored) == set(legacy)
    preset = mrcnn.load_config("detectron2_mask_rcnn_r50_fpn")
    assert config.model.class_names[79] == "toothbrush" and config.model.category_ids[79] == 90
    config.model.class_names = config.model.category_ids = ()
    assert config == preset and preset.model.roi.sampling_ratio == 0


@pytest.mark.parametrize(
    ("options", "preset", "fields"),
    [
        ({}, "detectron2_mask_rcnn_r50_fpn", {"backbone": {"stride_in_1x1": True, "groups": 1}}),
        (
            {"blocks": (1, 2, 23, 1)},
            "detectron2_mask_rcnn_r101_fpn",
            {"backbone": {"stage_blocks": (1, 2, 23, 1), "stage_channels": (4, 8, 16, 32)}},
        ),
        (
            d2.SMALL_RESNEXT,
            "detectron2_mask_rcnn_x101_32x8d_fpn",
            {
                "backbone": {"stride_in_1x1": False, "groups": 4, "width_per_group": 32},
                "preprocess": {"std": (57.375, 57.12, 58.395)},
            },
        ),
        (
            {"norm": "GN", "head_norm": "GN", "box_convs": 4},
            "detectron2_mask_rcnn_r50_fpn_gn",
            {
                "backbone": {"norm": "group_norm", "stride_in_1x1": False},
                "fpn": {"norm": "group_norm"},
                "box_head": {"norm": "group_norm", "num_convs": 4, "num_fcs": 1},
                "mask_head": {"norm": "group_norm"},
                "preprocess": {"std": (1.0, 1.0, 1.0)},
            },
        ),
        (
            {"head_norm": "BN", "box_convs": 4, "rpn_convs": 2},
            "detectron2_mask_rcnn_r50_fpn",
            {
                "backbone": {"norm": "sync_batch_norm"},
                "box_head": {"norm": "sync_batch_norm"},
                "rpn": {"num_convs": 2, "channels": 16},
            },
        ),
        (
            {"masks": False, "classes": 1},
            "detectron2_mask_rcnn_r50_fpn",
            {"mask_head": {"enabled": False}, "": {"num_classes": 1, "class_names": ()}},
        ),
        (
            {"cascade": 3},
            "detectron2_cascade_mask_rcnn_r50_fpn",
            {
                "box_head": {"class_agnostic": True, "cascade_ious": (0.6, 0.7), "num_fcs": 2, "fc_channels": 24},
                "roi": {"sampling_ratio": 0},
                "rpn": {"post_nms_top_n_train": 2000},
            },
        ),
        (
            {"cascade": 3, "norm": "GN", "head_norm": "GN", "box_convs": 4},
            "detectron2_mask_rcnn_r50_fpn_gn",
            {"box_head": {"class_agnostic": True, "cascade_ious": (0.6, 0.7), "num_convs": 4, "norm": "group_norm"}},
        ),
        (
            {"masks": False, "keypoints": True, "classes": 1},
            "detectron2_keypoint_rcnn_r50_fpn",
            {
                "": {"num_classes": 1, "class_names": ("person",)},
                "mask_head": {"enabled": False},
                "keypoint_head": {"enabled": True, "num_keypoints": 17, "num_convs": 8, "channels": 8},
                "rpn": {"post_nms_top_n_train": 1500},
                "box_head": {"loss_beta": 0.5},
            },
        ),
    ],
    ids=["r50", "r101", "x101", "gn", "syncbn", "faster", "cascade", "gn_cascade", "keypoint"],
)
def test_small_models_of_every_kind(options, preset, fields):
    tensors = d2.fill(d2.shapes(**{**d2.SMALL, **options}))
    config, model, report, entries = put(tensors)
    assert config.name == preset and report.initial == []
    assert set(report.ignored) == set()
    for section, values in fields.items():
        for name, value in values.items():
            part = getattr(config.model, section) if section else config.model
            assert getattr(part, name) == value, (section, name)
    back = to_theirs(entries)
    assert set(back) == set(report.used)
    for name, array in back.items():
        np.testing.assert_array_equal(array, tensors[name], name)
    conv = next(block for block in model.backbone.blocks if block.name == "c3_1").convs[1]
    theirs = tensors[f"{BOTTOM_UP}res3.1.conv2.weight"]
    np.testing.assert_array_equal(conv.kernel[2, 0, 1, 5], theirs[5, 1, 2, 0])


@pytest.mark.parametrize(
    ("kind", "options", "preset", "count"),
    [
        ("c4", {}, "detectron2_mask_rcnn_r50_c4", 279),  # of `build_model` for mask_rcnn_R_50_C4_3x and _DC5_3x
        ("dc5", {}, "detectron2_mask_rcnn_r50_dc5", 291),
        ("c4", {"blocks": (1, 2, 23, 1)}, "detectron2_mask_rcnn_r101_c4", None),
        ("dc5", {"blocks": (1, 2, 23, 1), "masks": False}, "detectron2_mask_rcnn_r101_dc5", None),
    ],
)
def test_models_without_a_pyramid(kind, options, preset, count):
    small = {name: value for name, value in d2.SMALL.items() if name != "fpn"} | {"mask": 8} | options
    full = d2.plain_shapes(kind)
    assert count in (None, len(full))
    tensors = d2.fill(d2.plain_shapes(kind, **small))
    cells = cell_anchors((32, 64, 128, 256, 512)) if count else {}
    config, model, report, entries = put(tensors | cells)
    assert config.name == preset and report.initial == [] and set(report.ignored) == set(cells)
    assert (config.model.box_head.average, model.roi_body is None) == (kind == "c4", kind == "dc5")
    assert config.model.anchors.sizes == ((32.0, 64.0, 128.0, 256.0, 512.0),)
    back = to_theirs(entries)
    assert set(back) == set(report.used) == set(tensors)
    for name, array in back.items():
        np.testing.assert_array_equal(array, tensors[name], name)
    # Their anchor 4 is size 64 with ratio 1; ours are counted for each ratio: 5 sizes of ratio 0.5 come first.
    theirs = tensors["proposal_generator.rpn_head.objectness_logits.bias"]
    assert model.rpn_head.objectness.bias[6] == theirs[4]


C4_SMALL = {name: value for name, value in d2.SMALL.items() if name != "fpn"} | {"mask": 8}


@pytest.mark.parametrize(
    ("full", "small", "gone", "preset", "count"),  # count: of `build_model` for the zoo's configuration
    [
        (d2.shapes(), d2.shapes(**d2.SMALL), "roi_heads.", "rpn_r50_fpn", 287),
        (d2.plain_shapes("c4"), d2.plain_shapes("c4", **C4_SMALL), "roi_heads.", "rpn_r50_c4", 221),
        (d2.shapes(masks=False), d2.shapes(**d2.SMALL, masks=False), "proposal_g", "detectron2_fast_rcnn_r50_fpn", 289),
        (d2.shapes(), d2.shapes(**d2.SMALL), "proposal_generator.", "detectron2_fast_rcnn_r50_fpn", 301),
    ],
    ids=["rpn_R_50_FPN", "rpn_R_50_C4", "fast_rcnn_R_50_FPN", "fast_rcnn_with_masks"],
)
def test_an_rpn_alone_and_detectors_without_one(full, small, gone, preset, count):
    assert len([name for name in full if not name.startswith(gone)]) == count
    tensors = d2.fill({name: shape for name, shape in small.items() if not name.startswith(gone)})
    config, model, report, entries = put(tensors)
    config.validate()
    wanted = mrcnn.load_config(preset).model
    assert config.name == preset and report.initial == [] and set(report.used) == set(tensors)
    assert (config.model.rpn.enabled, config.model.has_classes) == (wanted.rpn.enabled, wanted.has_classes)
    assert (model.rpn_head is None, model.box_head is None) == (gone != "roi_heads.", gone == "roi_heads.")
    assert config.model.has_masks == any("mask_head" in name for name in tensors)
    assert config.model.rpn.post_nms_top_n_test == (2000 if model.box_head is None else 1000)
    assert config.model.class_names == (("object",) if model.box_head is None else ())
    for name, array in to_theirs(entries).items():
        np.testing.assert_array_equal(array, tensors[name], name)


def test_detectrons_own_checkpoints_have_both():
    tensors = d2.empty({name: shape for name, shape in d2.shapes(**d2.SMALL).items() if "proposal_" not in name})
    with pytest.raises(CheckpointError, match="no region proposal network"):
        detectron.make_config(tensors)


def cell_anchors(sizes, ratios=(0.5, 1.0, 2.0)):
    sides = [(size / ratio**0.5, size * ratio**0.5) for size in sizes for ratio in ratios]
    rows = np.float32([(-width / 2, -height / 2, width / 2, height / 2) for width, height in sides])
    return {"proposal_generator.anchor_generator.cell_anchors.0": rows}


def test_an_imagenet_backbone_fills_the_body_on_rois():
    tensors = d2.fill(d2.backbone_shapes(**d2.backbone_options(d2.SMALL)))
    config = mrcnn.load_config("detectron2_mask_rcnn_r50_c4")
    backbone = config.model.backbone
    backbone.stage_blocks, backbone.stage_channels, backbone.stem_channels = (1, 2, 1, 1), (4, 8, 16, 32), 8
    config.model.rpn.channels = config.model.mask_head.channels = 8
    model = mrcnn.MaskRCNN(config.model)
    report = assign(model, detectron2.make_entries(model, tensors), tensors, detectron2.IGNORED)
    assert set(report.used) == set(tensors)
    assert not [path for path in report.initial if path.startswith(("backbone", "roi_body"))]
    theirs = tensors[f"{BOTTOM_UP}res5.0.conv3.weight"]
    np.testing.assert_array_equal(model.roi_body.blocks[0].convs[2].kernel[0, 0, 3, 5], theirs[5, 3, 0, 0])


@pytest.mark.parametrize("kind", ["gamma", "s", "affine", "gn"])
def test_imagenet_backbones_of_caffe2(kind):
    options = d2.backbone_options(d2.SMALL if kind == "gn" else d2.SMALL_RESNEXT)
    plain = d2.fill(d2.backbone_shapes(**options, norm="GN" if kind == "gn" else "BN"))
    tensors = d2.caffe2_backbone(plain, kind) | {"conv1_b": np.zeros(8, np.float32)}
    tensors |= {"fc1000_w": np.zeros((9, 128), np.float32), "pred_b_momentum": np.zeros(9, np.float32)}
    config, model, report, _ = put(tensors)
    assert len(report.used) == len(tensors) - 3
    assert not [path for path in report.initial if path.startswith("backbone")]
    assert config.name == f"detectron2_mask_rcnn_{'r50_fpn_gn' if kind == 'gn' else 'x101_32x8d_fpn'}"
    assert config.model.preprocess.std == ((57.375, 57.12, 58.395) if kind in ("gamma", "s") else (1.0, 1.0, 1.0))
    norm, name = model.backbone.blocks[0].convs[1].norm, f"{BOTTOM_UP}res2.0.conv2.norm"
    np.testing.assert_array_equal(norm.gamma, plain[f"{name}.weight"])
    np.testing.assert_array_equal(model.backbone.stem.norm.beta, plain[f"{BOTTOM_UP}stem.conv1.norm.bias"])
    if kind in ("gamma", "s"):  # "riv" is a variance
        np.testing.assert_array_equal(norm.moving_variance, plain[f"{name}.running_var"])
    if kind == "affine":
        values = np.random.default_rng(0).normal(size=(2, 3, 5, 8)).astype(np.float32)
        expected = values * plain[f"{name}.weight"] + plain[f"{name}.bias"]
        np.testing.assert_allclose(norm(values), expected, rtol=1e-6, atol=1e-6)


def test_imagenet_backbone_of_torchvision():
    tensors = d2.fill(d2.backbone_shapes(**d2.backbone_options(d2.SMALL), prefix=""))
    tensors |= {"stem.fc.weight": np.zeros((9, 128), np.float32), "stem.conv1.norm.num_batches_tracked": np.int64(1)}
    config, _, report, _ = put(tensors)
    assert set(report.ignored) == {"stem.fc.weight", "stem.conv1.norm.num_batches_tracked"}
    assert not [path for path in report.initial if path.startswith("backbone")]
    assert config.model.preprocess.channel_order == "RGB" and not config.model.backbone.stride_in_1x1
    assert config.model.preprocess.std == (58.395, 57.12, 57.375)


def test_a_file_becomes_a_model(tmp_path):
    tensors = d2.fill(d2.shapes(**d2.SMALL))
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": tensors, "__author__": "Detectron2 Model Zoo"}, protocol=2))
    model, report = import_checkpoint("detectron2", path)
    assert report.initial == [] and model.config.num_classes == 5
    logits = tensors["roi_heads.box_predictor.cls_score.weight"]
    np.testing.assert_array_equal(model.box_head.classes.kernel[:, 0], logits[5])  # background: their last, our first


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sem_seg_head.predictor.weight", "panoptic"),
        ("backbone.bottom_up.res3.0.conv2_offset.weight", "deformable"),
        ("roi_heads.mask_head.point_head.fc1.weight", "PointRend"),
        ("roi_heads.mask_coarse_head.fc1.weight", "PointRend"),
        ("head.cls_subnet.0.weight", "RetinaNet"),
        ("backbone.bottom_up.s1.b1.f.a.weight", "another backbone"),
    ],
)
def test_architectures_that_are_not_built(name, words):
    tensors = d2.empty(d2.shapes(**d2.SMALL)) | {name: np.zeros((1, 1), np.float32)}
    with pytest.raises(CheckpointError, match=words) as error:
        detectron2.make_config(tensors)
    assert name in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.update({"conv1_w": 0, "cls_score_w": 0}), "read it as 'detectron'"),
        (lambda t: t.pop("backbone.fpn_lateral2.weight"), "backbone.fpn_lateral2.weight.*is missing"),
        (lambda t: t.pop("roi_heads.box_head.fc1.weight"), "box_head.fc1.weight.*is missing"),
        (
            lambda t: [t.pop(name) for name in list(t) if name.startswith(("proposal", "backbone.fpn"))],
            "no region proposal network",
        ),
        (lambda t: [t.pop(name) for name in list(t) if "box_predictor" in name], "no box head"),
        (lambda t: [t.pop(name) for name in list(t) if "roi_heads.box" in name], "no box head"),
        (lambda t: [t.pop(name) for name in list(t) if "res5" in name], r"res5\.0\.conv3\.weight.*is missing"),
        (
            lambda t: t.update({"roi_heads.box_predictor.bbox_pred.weight": np.zeros((4, 24))}),
            "bbox_pred.bias",
        ),
        (lambda t: t.update({"roi_heads.box_predictor.0.bbox_pred.weight": np.zeros((4, 24))}), "cascade of 1 stage"),
        (lambda t: t.update({"roi_heads.mask_head.predictor.weight": np.zeros((1, 16, 1, 1))}), "class-agnostic"),
        (lambda t: t.update({"backbone.bottom_up.res2.0.conv2.weight": np.zeros((4, 0, 3, 3))}), r"\[4, 0, 3, 3\]"),
        (lambda t: t.update({"backbone.top_block.p6.weight": np.zeros(3)}), "1 unexpected: backbone.top_block.p6"),
        (lambda t: t.pop("backbone.bottom_up.res3.1.conv1.norm.bias"), r"1 missing: .*res3\.1\.conv1\.norm\.bias"),
        (lambda t: t.update({"proposal_generator.rpn_head.conv.bias": np.zeros(3)}), "1 of another shape"),
    ],
)
def test_checkpoints_that_do_not_fit(change, words):
    tensors = d2.empty(d2.shapes(**d2.SMALL))
    change(tensors)
    with pytest.raises(CheckpointError, match=words):
        put(tensors)


def test_pixels_of_another_configuration():
    tensors = d2.empty(d2.shapes(**d2.SMALL)) | {"pixel_std": np.float32([57.375, 57.12, 58.395]).reshape(3, 1, 1)}
    config = put(tensors)[0]
    assert config.model.preprocess.std == (57.375, 57.12, 58.395)
    config.model.preprocess.std = (1.0, 1.0, 1.0)
    with pytest.raises(CheckpointError, match=r"pixel_std of the checkpoint is \[57.*preprocess.std, which is \[1"):
        put(tensors, config)


def test_affine_channels_do_not_go_into_norms_that_train():
    tensors = d2.caffe2_backbone(d2.empty(d2.backbone_shapes(**d2.backbone_options(d2.SMALL))), "affine")
    config = detectron2.make_config(detectron2.prepare(tensors))
    config.model.backbone.norm = "batch_norm"
    with pytest.raises(CheckpointError, match="'frozen_batch_norm'"):
        put(tensors, config)
