"""The original Detectron's names and layouts, and its boxes where ours can be the same."""

import pickle

import detectron2_names as d2
import numpy as np
import pytest

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.ops import anchors as anchor_ops
from mask_rcnn_tf.ops.boxes import decode_deltas
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.importer import import_checkpoint
from mask_rcnn_tf.weights.mapping import assign
from mask_rcnn_tf.weights.projects import detectron

HEADS = {  # Detectron2's module and Detectron's blob
    "proposal_generator.rpn_head.conv": "conv_rpn_fpn2",
    "proposal_generator.rpn_head.objectness_logits": "rpn_cls_logits_fpn2",
    "proposal_generator.rpn_head.anchor_deltas": "rpn_bbox_pred_fpn2",
    "roi_heads.box_head.fc1": "fc6",
    "roi_heads.box_head.fc2": "fc7",
    "roi_heads.box_predictor.cls_score": "cls_score",
    "roi_heads.box_predictor.bbox_pred": "bbox_pred",
    "roi_heads.mask_head.deconv": "conv5_mask",
    "roi_heads.mask_head.predictor": "mask_fcn_logits",
    "roi_heads.keypoint_head.score_lowres": "kps_score_lowres",
    **{f"roi_heads.mask_head.mask_fcn{i}": f"_[mask]_fcn{i}" for i in range(1, 5)},
    **{f"roi_heads.keypoint_head.conv_fcn{i}": f"conv_fcn{i}" for i in range(1, 9)},
    **{f"roi_heads.box_head.conv{i}": f"head_conv{i}" for i in range(1, 5)},
}
ROWS = {"cls_score": 0, "bbox_pred": 4, "predictor": 1}  # that Detectron has more, for background


def blobs(kind="affine", fill=d2.fill, **options):
    """A detector's blobs as Detectron saves them."""
    options = {**d2.SMALL, **options}
    shapes = {}
    for name, shape in d2.shapes(**options).items():
        more = ROWS.get(name.split(".")[-2], 0) if name.startswith("roi_heads.") else 0
        shapes[name] = (shape[0] + more, *shape[1:])
    tensors = fill(shapes)
    body = {name: value for name, value in tensors.items() if name.startswith("backbone.bottom_up.")}
    renamed = d2.caffe2_backbone(body, kind)
    for name in set(tensors) - set(body):
        module, _, leaf = name.rpartition(".")
        leaf = {"weight": "w", "bias": "b"}[leaf]
        if module.endswith(".norm"):
            module, leaf = module.removesuffix(".norm"), {"w": "gn_s", "b": "gn_b"}[leaf]
        renamed[f"{HEADS.get(module) or pyramid_blob(module, options['blocks'])}_{leaf}"] = tensors[name]
    return renamed


def pyramid_blob(module, blocks):
    """Detectron calls a level after the last block of its stage."""
    level = int(module[-1])
    blob = f"res{level}_{blocks[level - 2] - 1}_sum"
    if "output" in module:
        return f"fpn_{blob}"
    return f"fpn_inner_{blob}" + ("" if level == 5 else "_lateral")


def put(tensors):
    tensors = detectron.prepare(tensors)
    config = detectron.make_config(tensors)
    model = mrcnn.MaskRCNN(config.model)
    return config, model, assign(model, detectron.make_entries(model, tensors), tensors, detectron.IGNORED)


def test_every_blob_of_r50_fpn_with_fewer_channels():
    tensors = blobs(fill=d2.empty, blocks=(3, 4, 6, 3))
    assert "fpn_inner_res4_5_sum_lateral_w" in tensors and "fpn_inner_res5_2_sum_b" in tensors
    momentum = {f"{name}_momentum": value for name, value in tensors.items() if not name.startswith("res2")}
    config, _, report = put(tensors | momentum)
    assert report.initial == [] and len(report.used) == len(tensors)
    assert set(report.ignored) == set(momentum)
    assert config.model.preprocess.mean == (102.9801, 115.9465, 122.7717) and not config.model.roi.aligned
    assert config.model.backbone.stage_blocks == (3, 4, 6, 3) and config.model.backbone.stride_in_1x1


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"blocks": (1, 2, 23, 1)}, {"stage_blocks": (1, 2, 23, 1), "stride_in_1x1": True}),
        (d2.SMALL_RESNEXT, {"groups": 4, "stride_in_1x1": False}),
        (
            {"kind": "gn", "norm": "GN", "head_norm": "GN", "box_convs": 4},
            {"norm": "group_norm", "stride_in_1x1": False},
        ),
        ({"masks": False, "keypoints": True, "classes": 1}, {"norm": "frozen_batch_norm"}),
    ],
    ids=["r101", "x101", "gn", "keypoint"],
)
def test_small_models_of_every_kind(options, fields):
    tensors = blobs(**options)
    config, model, report = put(tensors)
    assert report.initial == [] and len(report.used) + len(report.ignored) == len(tensors)
    assert not report.ignored and (model.keypoint_head is not None) == bool(options.get("keypoints"))
    for name, value in fields.items():
        assert getattr(config.model.backbone, name) == value, name
    assert (model.mask_head is None) == (options.get("masks") is False)


def test_background_comes_first_and_has_rows_everywhere(tmp_path):
    tensors = blobs()
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"blobs": tensors, "cfg": "MODEL: {}"}, protocol=2))
    model, report = import_checkpoint("detectron", path)
    assert report.initial == [] and model.config.num_classes == 5
    np.testing.assert_array_equal(model.box_head.classes.bias, tensors["cls_score_b"])
    theirs = tensors["bbox_pred_w"].reshape(6, 4, 24)  # (dx, dy, dw, dh)
    np.testing.assert_array_equal(np.transpose(model.box_head.deltas.kernel).reshape(5, 4, 24)[2, 1], theirs[3, 0])
    np.testing.assert_array_equal(model.mask_head.kernel[4], tensors["mask_fcn_logits_w"][5, :, 0, 0])
    scale = 1 / np.sqrt(model.backbone.stem.norm.moving_variance + 1e-5)
    np.testing.assert_allclose(scale, np.ones(8), rtol=1e-6)  # an AffineChannel: scale and shift alone


def test_square_anchors_give_detectrons_proposals():
    """On anchors that Detectron does not round, deltas from the same bias decode to the same boxes."""
    tensors = {"rpn_bbox_pred_fpn2_b": np.random.default_rng(0).normal(0, 0.3, 12).astype(np.float32)}
    model = put({**blobs(), **tensors})[1]
    deltas = model.rpn_head.deltas.bias.numpy().reshape(3, 4)[1]
    dx, dy, dw, dh = tensors["rpn_bbox_pred_fpn2_b"].reshape(3, 4)[1].astype(np.float64)
    for level, size in ((2, 32.0), (6, 512.0)):
        stride = 2**level
        # `generate_anchors`: a window around the base cell (0, 0, stride - 1, stride - 1); `bbox_transform`: with + 1.
        centre = (stride - 1) / 2 + stride * np.arange(3)
        x1, width = centre[:, None] - (size - 1) / 2, size
        middle = x1 + 0.5 * width
        theirs = {}
        for axis, shift, grow in (("y", dy, dh), ("x", dx, dw)):
            low = shift * width + middle - 0.5 * np.exp(grow) * width
            theirs[axis] = low, low + np.exp(grow) * width - 1
        anchors = anchor_ops.level_anchors((3, 3), (stride, stride), anchor_ops.cell_anchors((size,), (1.0,), False))
        ours = decode_deltas(deltas[None], anchors, (1.0,) * 4).numpy().reshape(3, 3, 4)
        np.testing.assert_allclose(ours[:, 0, 0], theirs["y"][0][:, 0], rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(ours[:, 0, 2], theirs["y"][1][:, 0] + 1, rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(ours[0, :, 1], theirs["x"][0][:, 0], rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(ours[0, :, 3], theirs["x"][1][:, 0] + 1, rtol=1e-5, atol=1e-3)


def test_the_shift_of_several_sizes_is_in_the_order_of_our_anchors():
    anchors = mrcnn.config.AnchorConfig(sizes=((32.0, 45.0),) * 5, ratios=(0.5, 1.0, 2.0))
    cells = anchor_ops.cell_anchors(anchors.sizes[0], anchors.ratios, False)
    expected = np.zeros((6, 4))
    expected[:, :2] = 2 / (cells[:, 2:] - cells[:, :2])  # half of P2's stride over height and width
    np.testing.assert_allclose(detectron._half_cells(anchors).reshape(6, 4), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.update({"conv_rpn_w": np.zeros(1)}), "a C4 model"),
        (lambda t: t.update({"retnet_cls_conv_n0_fpn3_w": np.zeros(1)}), "a RetinaNet"),
        (lambda t: t.update({"_[mask]_res5_0_branch2a_w": np.zeros(1)}), "C4 model"),
        (lambda t: t.update({"bbox_pred_w": np.zeros((8, 24))}), r"bbox_pred\.bias has shape \[24\]"),
        (lambda t: t.pop("conv1_w"), "no 'conv1_w'"),
        (lambda t: (t.pop("conv1_w"), t.update({"roi_heads.x": 0})), "is read as 'detectron2'"),
        (lambda t: t.pop("res3_1_branch2b_bn_s"), r"1 missing: .*res3\.1\.conv2\.affine\.weight"),
        (lambda t: t.update({"new_w": np.zeros(1)}), "1 unexpected: new_w"),
    ],
)
def test_checkpoints_that_do_not_fit(change, words):
    tensors = blobs(fill=d2.empty)
    change(tensors)
    with pytest.raises(CheckpointError, match=words):
        put(tensors)
