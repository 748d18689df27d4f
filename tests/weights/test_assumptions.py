"""What a checkpoint does not say: what the import decides, and that the report says all of it."""

import functools

import detectron2_names as d2
import numpy as np
import pytest
import safetensors.numpy
from checkpoint_files import write_pickle, write_torch_zip
from tiny import finding_model, tiny_config

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.ops.anchors import cell_anchors
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.exporter import save_torchvision, to_torchvision
from mask_rcnn_tf.weights.importer import import_checkpoint
from mask_rcnn_tf.weights.mapping import to_theirs
from mask_rcnn_tf.weights.projects import detectron2, torchvision

RPN = "proposal_generator.rpn_head"
SIZES = ((32.0, 45.0), (64.0, 90.0), (128.0, 180.0), (256.0, 362.0), (512.0, 724.0))
RATIOS = (0.5, 1.0, 2.0)


def torchvision_file(path, norms_trained, config=None):
    """A detector of torchvision's names, with the steps of its norms or without."""
    if config is None:
        config = mrcnn.load_config("torchvision_mask_rcnn_r50_fpn").model
        config.num_classes, config.backbone.stage_channels = 3, (8, 16, 32, 64)
    tensors = to_torchvision(mrcnn.MaskRCNN(config))
    tensors["backbone.body.bn1.running_var"] = np.full_like(tensors["backbone.body.bn1.running_var"], 1e-5)
    if norms_trained:
        steps = {name.replace("running_var", "num_batches_tracked"): np.int64(7) for name in tensors if "_var" in name}
        tensors |= {name: np.array(value) for name, value in steps.items()}
    write_torch_zip(path, tensors)
    return tensors


@pytest.mark.parametrize(("norms_trained", "epsilon"), [(True, 1e-5), (False, 0.0)])
def test_the_steps_of_norms_tell_their_epsilon(tmp_path, norms_trained, epsilon):
    tensors = torchvision_file(tmp_path / "m.pth", norms_trained)
    model, report = import_checkpoint("torchvision", tmp_path / "m.pth")
    values = np.random.default_rng(0).normal(size=(2, 3, 3, 64))
    gamma, beta, mean, var = (
        tensors[f"backbone.body.bn1.{leaf}"].astype(np.float64)
        for leaf in ("weight", "bias", "running_mean", "running_var")
    )
    expected = (values - mean) / np.sqrt(var + epsilon) * gamma + beta  # torch's definition
    np.testing.assert_allclose(model.backbone.stem.norm(values.astype(np.float32)), expected, rtol=1e-4, atol=1e-3)
    (line,) = [line for line in report.lines() if f"backbone.norm_epsilon={epsilon}" in line]
    assert "num_batches_tracked" in line
    model, report = import_checkpoint("torchvision", tmp_path / "m.pth", norm_epsilon=1e-3)
    assert model.config.backbone.norm_epsilon == 1e-3
    assert any("norm_epsilon=0.001 (given)" in line for line in report.lines())


@pytest.mark.parametrize(("blocks", "epsilon"), [((3, 4, 6, 3), 0.0), ((3, 4, 23, 3), 1e-5), ((2, 2, 2, 2), 1e-5)])
def test_epsilon_0_is_of_resnet50_alone(blocks, epsilon):
    """torchvision's `overwrite_eps` is for COCO_V1 weights, on ResNet-50; `FrozenBatchNorm2d` has 1e-5."""
    rest = d2.empty({"roi_heads.box_predictor.cls_score.weight": (4, 8)})
    body = d2.empty({f"backbone.body.{name}": shape for name, shape in resnet_names(blocks, basic=False).items()})
    assert torchvision.make_config(rest | body).model.backbone.norm_epsilon == epsilon
    assert ("ResNet-50 alone" in torchvision.explain(rest | body)["backbone.norm_epsilon"]) == (epsilon > 0)


def test_every_assumption_is_in_the_report(tmp_path):
    torchvision_file(tmp_path / "m.pth", False)
    text = "\n".join(import_checkpoint("torchvision", tmp_path / "m.pth")[1].lines())
    preset = "(assumed: the preset torchvision_mask_rcnn_r50_fpn)"
    for line in (
        "preprocess.short_side=800, preprocess.max_side=1333",
        "anchors.sizes=((32.0,), (64.0,), (128.0,), (256.0,), (512.0,)), anchors.ratios=(0.5, 1.0, 2.0)",
        "preprocess.mean=(0.485, 0.456, 0.406)",
        "box_head.delta_weights=(10.0, 10.0, 5.0, 5.0)",
    ):
        assert any(line in found and preset in found for found in text.splitlines()), line
    assert "class_names=(), category_ids=() (assumed: the file has no names; give class_names)" in text
    model, report = import_checkpoint("torchvision", tmp_path / "m.pth", class_names=("cat", "dog", "cow"))
    assert model.config.class_names == ("cat", "dog", "cow")
    assert "class_names=('cat', 'dog', 'cow') (given)" in "\n".join(report.lines())
    with pytest.raises(ValueError, match="class_names is .*; allowed: .* num_classes = 3 different"):
        import_checkpoint("torchvision", tmp_path / "m.pth", class_names=("cat", "dog"))


def test_names_of_other_classes_do_not_keep_cocos_ids(tmp_path):
    tensors = d2.fill(d2.shapes(**{**d2.SMALL, "classes": 80}))
    write_pickle(tmp_path / "m.pkl", {"model": tensors})
    model, report = import_checkpoint("detectron2", tmp_path / "m.pkl")
    assert model.config.category_ids[-1] == 90 and "COCO's, by their number" in "\n".join(report.lines())
    names = tuple(f"class {i}" for i in range(80))
    model, _ = import_checkpoint("detectron2", tmp_path / "m.pkl", class_names=names)
    assert model.config.class_names == names and model.config.category_ids == ()


def detectron2_cells(sizes, ratios):
    """Detectron2's `generate_cell_anchors`: for each size, for each ratio; (x1, y1, x2, y2)."""
    cells = []
    for size in sizes:
        for ratio in ratios:
            width = (size**2 / ratio) ** 0.5
            cells.append((-width / 2, -ratio * width / 2, width / 2, ratio * width / 2))
    return np.array(cells)


def several_sizes(with_cells):
    """A small Detectron2 model with 2 sizes and 3 ratios a level, every row of its RPN its own."""
    shapes = d2.shapes(**d2.SMALL)
    for name, rows in (("objectness_logits", 6), ("anchor_deltas", 24)):
        for leaf in ("weight", "bias"):
            shapes[f"{RPN}.{name}.{leaf}"] = (rows, *shapes[f"{RPN}.{name}.{leaf}"][1:])
    random, tensors = np.random.default_rng(0), d2.fill(shapes)
    for name in [name for name in tensors if "objectness" in name or "anchor_deltas" in name]:
        tensors[name] = random.normal(size=tensors[name].shape).astype(np.float32)
    if with_cells:
        for i, sizes in enumerate(SIZES):
            name = f"proposal_generator.anchor_generator.cell_anchors.{i}"
            tensors[name] = detectron2_cells(sizes, RATIOS).astype(np.float32)
    return tensors


@pytest.mark.parametrize("with_cells", [True, False])
def test_several_sizes_a_level_in_detectron2(tmp_path, with_cells):
    """Each anchor gets the logit and deltas that Detectron2's anchor of the same corners has."""
    tensors = several_sizes(with_cells)
    write_pickle(tmp_path / "m.pkl", {"model": tensors})
    if not with_cells:
        with pytest.raises(CheckpointError, match="is for 6 anchors a cell, .* has 3 .*give anchor_sizes"):
            import_checkpoint("detectron2", tmp_path / "m.pkl")
    sizes = () if with_cells else SIZES
    model, report = import_checkpoint("detectron2", tmp_path / "m.pkl", anchor_sizes=sizes)
    reason = "from the file: its cell_anchors" if with_cells else "given"
    assert any(f"anchors.sizes={SIZES}" in line and reason in line for line in report.lines())
    level = np.random.default_rng(1).normal(size=(1, 2, 3, 16)).astype(np.float32)
    hidden = np.maximum(model.rpn_head.convs[0](level).numpy(), 0)
    logits, deltas = (output.numpy() for output in model.rpn_head(level))
    theirs = {}
    for row, box in enumerate(detectron2_cells(SIZES[0], RATIOS)):
        kernel, bias = tensors[f"{RPN}.objectness_logits.weight"], tensors[f"{RPN}.objectness_logits.bias"]
        logit = hidden @ kernel[row, :, 0, 0] + bias[row]
        kernel, bias = tensors[f"{RPN}.anchor_deltas.weight"], tensors[f"{RPN}.anchor_deltas.bias"]
        four = slice(4 * row, 4 * row + 4)
        theirs[tuple(box.round(3))] = logit[0], (hidden @ kernel[four, :, 0, 0].T + bias[four])[0]
    anchors = model.config.anchors
    for i, box in enumerate(cell_anchors(anchors.sizes[0], anchors.ratios, False).astype(np.float64)):
        logit, (dx, dy, dw, dh) = (np.moveaxis(a, -1, 0) if a.ndim == 3 else a for a in nearest(theirs, box))
        np.testing.assert_allclose(logits.reshape(2, 3, 6)[..., i], logit, atol=1e-5)
        expected = np.stack([dy, dx, dh, dw], -1)
        np.testing.assert_allclose(deltas.reshape(2, 3, 6, 4)[..., i, :], expected, atol=1e-5)
    back = to_theirs(detectron2.make_entries(model, tensors))
    for name in (name for name in back if RPN in name):
        np.testing.assert_array_equal(back[name], tensors[name], err_msg=name)


def nearest(theirs, box):
    """The outputs of Detectron2's anchor with the corners (y1, x1, y2, x2)."""
    key = min(theirs, key=lambda other: np.abs(np.array(other) - box[[1, 0, 3, 2]]).max())
    assert np.abs(np.array(key) - box[[1, 0, 3, 2]]).max() < 1e-2
    return theirs[key]


@pytest.mark.parametrize("change", [lambda cells: cells[::-1], lambda cells: cells + 8])
def test_anchors_that_are_not_built_are_refused(change):
    tensors = several_sizes(True)
    name = "proposal_generator.anchor_generator.cell_anchors.2"
    tensors[name] = change(tensors[name])
    with pytest.raises(CheckpointError, match=r"cell_anchors\.0 to \.4 are no anchors"):
        detectron2.make_config(tensors)


def test_an_export_comes_back_whole(tmp_path):
    model = finding_model()
    model.config.backbone.norm_epsilon = 1e-5
    save_torchvision(model, tmp_path / "m.safetensors")
    back, report = import_checkpoint("torchvision", tmp_path / "m.safetensors")
    assert back.config == model.config and back.config.category_ids == (1, 7, 90)
    assert any("class_names=('ball', 'box', 'star')" in line and "its metadata" in line for line in report.lines())
    image = np.random.default_rng(0).integers(0, 255, (1, 90, 120, 3), np.uint8)
    ours, theirs = model(image), back(image)
    assert ours["num_detections"][0] > 0
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


@pytest.mark.parametrize("config", ["{", '{"no_such_key": 1}', "[]", '{"num_classes": "3"}', '{"num_classes": 0}'])
def test_metadata_that_is_no_configuration_is_one_error(tmp_path, config):
    tensors = {"rpn.head.cls_logits.bias": np.zeros(3, np.float32)}
    safetensors.numpy.save_file(tensors, tmp_path / "m.safetensors", {"config": config})
    with pytest.raises(CheckpointError, match="in the file's metadata cannot be read .*; give one instead") as error:
        import_checkpoint("torchvision", tmp_path / "m.safetensors")
    assert "\n" not in str(error.value)


WRAPPINGS = {
    "lightning.ckpt": (lambda t: {"state_dict": {"model." + k: v for k, v in t.items()}, "epoch": 3}, "model."),
    "compiled.pth": (lambda t: {"_orig_mod." + k: v for k, v in t.items()}, "_orig_mod."),
    "both.pth": (lambda t: {"module._orig_mod." + k: v for k, v in t.items()}, "module._orig_mod."),
    "net.pth": (lambda t: {"net": t, "epoch": 1}, ""),
    "ema.pth": (lambda t: {"ema": t, "epoch": 1}, ""),
    "parallel.safetensors": (lambda t: {"module." + k: v for k, v in t.items()}, "module."),
}


@pytest.mark.parametrize("name", WRAPPINGS)
def test_what_wraps_every_name_is_taken_off_and_said(tmp_path, name):
    tensors = to_torchvision(mrcnn.MaskRCNN(tiny_config()))
    wrap, prefix = WRAPPINGS[name]
    write = safetensors.numpy.save_file if name.endswith("safetensors") else lambda t, path: write_torch_zip(path, t)
    write(wrap(tensors), tmp_path / name)
    model, report = import_checkpoint("torchvision", tmp_path / name, mrcnn.Config(model=tiny_config()))
    back = to_torchvision(model)
    assert report.prefix == prefix and report.initial == []
    assert any(f"the prefix {prefix!r} was taken off every name" in line for line in report.lines()) == bool(prefix)
    for key, value in tensors.items():
        np.testing.assert_array_equal(back[key], value, err_msg=key)


def resnet_names(blocks, basic, groups=1, width_per_group=64):
    """{name: shape} of torchvision's `ResNet` of these blocks (`torchvision/models/resnet.py`), without its fc."""
    shapes, inputs, expansion = {"conv1": (64, 3, 7, 7)}, 64, 1 if basic else 4
    for stage, count in enumerate(blocks, start=1):
        planes = 64 * 2 ** (stage - 1)
        width = planes if basic else planes * width_per_group // 64 * groups
        for i in range(count):
            name, outputs = f"layer{stage}.{i}", planes * expansion
            sides = ((width, 3), (width, 3)) if basic else ((width, 1), (width, 3), (outputs, 1))
            channels = inputs
            for j, (out, side) in enumerate(sides, start=1):
                in_group = channels // groups if not basic and j == 2 else channels
                shapes[f"{name}.conv{j}"], channels = (out, in_group, side, side), out
            if i == 0 and (stage > 1 or inputs != outputs):
                shapes[f"{name}.downsample.0"] = (outputs, inputs, 1, 1)
            inputs = outputs
    tensors = {}
    for name, shape in shapes.items():
        norm = name.replace("conv", "bn").replace("downsample.0", "downsample.1")
        tensors[f"{name}.weight"] = shape
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{norm}.{leaf}"] = shape[:1]
    return tensors


@functools.cache
def shapes_beside_the_body(masks):
    """{name: shape} of a detector of 4 classes, without its ResNet."""
    config = mrcnn.load_config("torchvision_mask_rcnn_r50_fpn").model
    config.num_classes, config.mask_head.enabled = 4, masks
    config.backbone.stage_blocks, config.backbone.stage_channels = (1, 1, 1, 1), (8, 8, 8, 8)
    tensors = to_torchvision(mrcnn.MaskRCNN(config))
    return {name: value.shape for name, value in tensors.items() if not name.startswith("backbone.body.")}


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize(
    ("blocks", "basic", "groups", "width"),
    [
        ((2, 2, 2, 2), True, 1, 64),
        ((3, 4, 6, 3), True, 1, 64),
        ((3, 4, 23, 3), False, 1, 64),
        ((3, 4, 6, 3), False, 32, 4),
    ],
    ids=["resnet18", "resnet34", "resnet101", "resnext50_32x4d"],
)
def test_detectors_on_other_resnets(blocks, basic, groups, width, masks):
    """`resnet_fpn_backbone(...)` in a `MaskRCNN` or `FasterRCNN`."""
    body = resnet_names(blocks, basic, groups, width)
    tensors = d2.empty(shapes_beside_the_body(masks) | {f"backbone.body.{name}": shape for name, shape in body.items()})
    for i in range(4):  # laterals take C2..C5
        name = f"backbone.fpn.inner_blocks.{i}.0.weight"
        tensors[name] = np.broadcast_to(np.float32(0), (256, 64 * 2**i * (1 if basic else 4), 1, 1))
    config = torchvision.make_config(tensors).model
    assert config.backbone.stage_blocks == blocks and config.mask_head.enabled == masks
    model = mrcnn.MaskRCNN(config)
    wanted = {entry.sources[0].name: entry.sources[0].shape for entry in torchvision.make_entries(model, tensors)}
    assert wanted == {name: value.shape for name, value in tensors.items()}
