"""matterport's checkpoints: names, and each part of the model against the same part built of Keras layers."""

import checkpoint_files
import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.ops import boxes as box_ops
from mask_rcnn_tf.ops.anchors import cell_anchors, level_anchors
from mask_rcnn_tf.ops.roi_regions import assign_levels
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.importer import import_checkpoint
from mask_rcnn_tf.weights.mapping import assign
from mask_rcnn_tf.weights.projects import matterport

BLOCKS, STAGES, PYRAMID, RPN, FC, MASK, CLASSES = (1, 2, 3, 1), (4, 5, 6, 7), 6, 5, 9, 8, 3
STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])  # RPN_BBOX_STD_DEV and BBOX_STD_DEV


class Theirs:
    """Their layers by name, small, as `mrcnn/model.py` declares them."""

    def __init__(self):
        self.layers = {}
        self._conv("conv1", 64, 7, 3, norm="bn_conv1", strides=2)
        inputs = 64
        for stage, (blocks, channels) in enumerate(zip(BLOCKS, STAGES, strict=True), start=2):
            for letter in "abcdefg"[:blocks]:
                self._block(f"{stage}{letter}_branch", channels, inputs)
                inputs = 4 * channels
            self._conv(f"fpn_c{stage}p{stage}", PYRAMID, 1, inputs)
            self._conv(f"fpn_p{stage}", PYRAMID, 3, PYRAMID, padding="same")
        self._conv("rpn_conv_shared", RPN, 3, PYRAMID, padding="same", activation="relu")
        self._conv("rpn_class_raw", 2 * 3, 1, RPN)
        self._conv("rpn_bbox_pred", 4 * 3, 1, RPN)
        self._conv("mrcnn_class_conv1", FC, 7, PYRAMID, norm="mrcnn_class_bn1")
        self._conv("mrcnn_class_conv2", FC, 1, FC, norm="mrcnn_class_bn2")
        self._add("mrcnn_class_logits", keras.layers.Dense(CLASSES + 1), FC)
        self._add("mrcnn_bbox_fc", keras.layers.Dense(4 * (CLASSES + 1)), FC)
        for i in range(1, 5):
            inputs = PYRAMID if i == 1 else MASK
            self._conv(f"mrcnn_mask_conv{i}", MASK, 3, inputs, norm=f"mrcnn_mask_bn{i}", padding="same")
        deconv = keras.layers.Conv2DTranspose(MASK, 2, strides=2, activation="relu")
        self._add("mrcnn_mask_deconv", deconv, MASK)
        self._conv("mrcnn_mask", CLASSES + 1, 1, MASK, activation="sigmoid")
        self._randomise()

    def _block(self, name, channels, inputs):
        strides = 2 if name[1] == "a" and name[0] > "2" else 1
        self._conv(f"res{name}2a", channels, 1, inputs, norm=f"bn{name}2a", strides=strides)
        self._conv(f"res{name}2b", channels, 3, channels, norm=f"bn{name}2b", padding="same")
        self._conv(f"res{name}2c", 4 * channels, 1, channels, norm=f"bn{name}2c")
        if name[1] == "a":
            self._conv(f"res{name}1", 4 * channels, 1, inputs, norm=f"bn{name}1", strides=strides)

    def _conv(self, name, filters, size, inputs, norm=None, **options):
        self._add(name, keras.layers.Conv2D(filters, size, **options), inputs)
        if norm is not None:
            self._add(norm, keras.layers.BatchNormalization(), filters)

    def _add(self, name, layer, inputs):
        layer.build((None, None, None, inputs))
        self.layers[name] = layer

    def _randomise(self):
        random = np.random.default_rng(4)
        for name, layer in self.layers.items():
            for weight in layer.weights:
                value = random.normal(0, 0.3, weight.shape)
                if weight.name in ("gamma", "moving_variance"):
                    value = random.uniform(0.5, 1.5, weight.shape)
                    if weight.name == "moving_variance" and name.endswith(("2b", "bn2")):
                        value *= 1e-2  # where epsilon counts
                elif name == "mrcnn_bbox_fc":
                    value *= 0.1  # below the clamp of our decoding, which theirs has not
                weight.assign(value)

    def tensors(self):
        """What `save_weights` would write."""
        return {f"{name}/{w.name}": np.asarray(w) for name, layer in self.layers.items() for w in layer.weights}

    def run(self, inputs, *names):
        """Applies layers one after another; "relu" is one."""
        for name in names:
            inputs = tf.nn.relu(inputs) if name == "relu" else self.layers[name](inputs)
        return inputs

    def backbone(self, image):
        """C2..C5, but for the stem's max-pool, which is ours (see `matterport`'s docstring)."""
        outputs = self.run(tf.pad(image, [[0, 0], [3, 3], [3, 3], [0, 0]]), "conv1", "bn_conv1", "relu")
        outputs = tf.nn.max_pool2d(tf.pad(outputs, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
        features = {}
        for stage, blocks in enumerate(BLOCKS, start=2):
            for letter in "abcdefg"[:blocks]:
                names = [f"{kind}{stage}{letter}_branch" for kind in ("res", "bn")]
                branch = [name + part for part in ("2a", "2b", "2c") for name in names]
                inner = self.run(outputs, *branch[:2], "relu", *branch[2:4], "relu", *branch[4:])
                shortcut = self.run(outputs, *(name + "1" for name in names)) if letter == "a" else outputs
                outputs = tf.nn.relu(inner + shortcut)
            features[f"C{stage}"] = outputs
        return features


def refined(boxes, deltas):
    """Their `apply_box_deltas`, in float64: boxes [n, 4], deltas [n, 4]."""
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = boxes[:, :2] + 0.5 * sides + deltas[:, :2] * sides
    sides = sides * np.exp(deltas[:, 2:])
    return np.concatenate([centres - 0.5 * sides, centres + 0.5 * sides], 1)


@pytest.fixture(scope="module")
def theirs():
    return Theirs()


@pytest.fixture(scope="module")
def imported(theirs, tmp_path_factory):
    """The model and the report of a file."""
    tensors = {**theirs.tensors(), "anchors/Variable": np.zeros((1, 10, 4), np.float32)}
    path = tmp_path_factory.mktemp("matterport") / "mask_rcnn_coco.h5"
    checkpoint_files.write_keras_h5(path, tensors)
    with h5py.File(path, "a") as file:  # the RPN's layers are in a model of their own
        for name in ("rpn_conv_shared", "rpn_class_raw", "rpn_bbox_pred"):
            file.move(f"{name}/{name}", f"rpn_model/{name}")
    config = matterport.make_config(tensors).validate()
    model = config.model
    model.backbone.stage_channels, model.fpn.channels, model.rpn.channels = STAGES, PYRAMID, RPN
    model.box_head.fc_channels, model.mask_head.channels = FC, MASK
    model.preprocess.short_side, model.preprocess.max_side = 64, 96
    return import_checkpoint("matterport", path, config)


def random_map(*shape):
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def assert_close(ours, expected):
    np.testing.assert_allclose(ours, expected, atol=1e-5 * np.abs(expected).max())


def test_every_tensor_is_used_and_every_variable_is_set(theirs, imported):
    report = imported[1]
    assert set(report.used) == set(theirs.tensors()) and list(report.ignored) == ["anchors/Variable"]
    assert report.initial == []


def test_config_is_read_off_the_tensors(theirs, imported):
    tensors = theirs.tensors()
    config = matterport.make_config(tensors)
    assert config.name == "matterport_mask_rcnn_r101_fpn"
    assert (config.model.num_classes, config.model.backbone.stage_blocks) == (CLASSES, BLOCKS)
    assert config.model.class_names == () == config.model.category_ids
    config = matterport.make_config({**tensors, "mrcnn_class_logits/bias": np.zeros(81)})
    assert config.model.category_ids[-1] == 90 and config.model.class_names[0] == "person"
    config = matterport.make_config({**tensors, "mrcnn_class_logits/bias": np.zeros(2)})  # somebody's balloons
    assert (config.model.num_classes, config.model.class_names) == (1, ())


def test_preprocessing_is_rgb_minus_their_mean(imported):
    image = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3), np.uint8)
    ours = imported[0].preprocess(tf.constant(image))[0]
    np.testing.assert_allclose(ours, image.astype(np.float32) - np.array([123.7, 116.8, 103.9]), atol=1e-4)


def test_backbone_and_pyramid(theirs, imported):
    image = 50 * random_map(1, 64, 96, 3)
    features, model = theirs.backbone(image), imported[0]
    ours = model.backbone(image)
    above, pyramid = None, model.pyramid(features)
    for level in (5, 4, 3, 2):
        assert_close(ours[f"C{level}"], features[f"C{level}"])
        inner = theirs.run(features[f"C{level}"], f"fpn_c{level}p{level}")
        above = inner if above is None else keras.layers.UpSampling2D()(above) + inner
        expected = theirs.run(above, f"fpn_p{level}")
        assert_close(pyramid[f"P{level}"], expected)
        if level == 5:
            assert_close(pyramid["P6"], keras.layers.MaxPooling2D(1, 2)(expected))


def their_anchors(height, width, scale, stride):
    """float64 [h * w * 3, 4], their ratios 0.5, 1, 2 being width / height."""
    anchors = []
    for y, x in np.ndindex(height, width):
        for ratio in (0.5, 1, 2):
            half = 0.5 * scale * np.array([ratio**-0.5, ratio**0.5])
            anchors.append(np.concatenate([[y, x] * np.array(stride) - half, [y, x] * np.array(stride) + half]))
    return np.array(anchors)


def test_rpn_scores_and_boxes(theirs, imported):
    model, level = imported[0], random_map(1, 3, 4, PYRAMID)
    shared = theirs.run(level, "rpn_conv_shared")
    logits = tf.reshape(theirs.run(shared, "rpn_class_raw"), [-1, 2])
    scores = tf.nn.softmax(logits).numpy()[:, 1]
    deltas = tf.reshape(theirs.run(shared, "rpn_bbox_pred"), [-1, 4]).numpy().astype(np.float64)
    boxes = refined(their_anchors(3, 4, 64, 8), deltas * STD_DEV)
    our_logits, our_deltas = model.rpn_head(level)
    cells = cell_anchors((64.0,), model.config.anchors.ratios, rounded=False)
    our_boxes = box_ops.decode_deltas(our_deltas[0], level_anchors((3, 4), (8, 8), cells), (1.0,) * 4).numpy()
    our_scores = tf.sigmoid(our_logits[0]).numpy()
    # The order within a cell is another; the scores, all different, pair them.
    order, our_order = np.argsort(scores), np.argsort(our_scores)
    assert len(np.unique(np.round(scores, 5))) == 36
    np.testing.assert_allclose(our_scores[our_order], scores[order], atol=1e-5)
    np.testing.assert_allclose(our_boxes[our_order], boxes[order], atol=1e-3)


def test_box_head_scores_and_boxes(theirs, imported):
    model, pooled = imported[0], random_map(5, 7, 7, PYRAMID)
    names = "mrcnn_class_conv1", "mrcnn_class_bn1", "relu", "mrcnn_class_conv2", "mrcnn_class_bn2", "relu"
    shared = theirs.run(pooled, *names)[:, 0, 0]
    class_logits, box_deltas = model.box_head(pooled)
    assert_close(class_logits, theirs.run(shared, "mrcnn_class_logits"))
    deltas = tf.reshape(theirs.run(shared, "mrcnn_bbox_fc"), [5, CLASSES + 1, 4]).numpy() * STD_DEV
    rois = np.array([[5, 7, 5 + 10 * i, 7 + 13 * i] for i in range(1, 6)], np.float32)
    weights = model.config.box_head.delta_weights
    boxes = box_ops.decode_deltas(box_deltas, rois[:, None], weights)
    for c in range(CLASSES):
        np.testing.assert_allclose(boxes[:, c], refined(rois.astype(np.float64), deltas[:, c + 1]), atol=1e-3)


def test_mask_head_masks(theirs, imported):
    pooled, classes = random_map(4, 14, 14, PYRAMID), np.array([1, 2, 3, 2], np.int32)
    names = [
        f"mrcnn_mask_{name}{i}" if name != "relu" else name for i in range(1, 5) for name in ("conv", "bn", "relu")
    ]
    masks = theirs.run(pooled, *names, "mrcnn_mask_deconv", "mrcnn_mask").numpy()
    logits = imported[0].mask_head(pooled, classes).numpy()
    assert logits.shape == (4, 28, 28) and masks.std() > 0.05
    # What `assert_close` allows of the logits, times the steepest slope of a sigmoid: with AVX-512 1e-5 was too little.
    atol = 0.25 * 1e-5 * np.abs(logits).max()
    wanted = np.stack([masks[i, ..., c] for i, c in enumerate(classes)])
    np.testing.assert_allclose(tf.sigmoid(logits).numpy(), wanted, atol=atol)


def test_rois_are_pooled_from_the_level_they_choose():
    """They round 4 + log2(side / 224)."""
    sides = np.arange(8, 1000, 7, dtype=np.float32)
    rois = np.stack([0 * sides, 0 * sides, sides, 2 * sides], 1)
    expected = np.clip(4 + np.round(np.log2(np.sqrt(2) * sides / 224)), 2, 5)
    roi = mrcnn.load_config("matterport_mask_rcnn_r101_fpn").model.roi
    levels = assign_levels(rois, roi.canonical_size, roi.canonical_level, min_level=2, max_level=5, rule=roi.level_rule)
    np.testing.assert_array_equal(levels, expected)


def test_what_does_not_fit_is_named(theirs, imported):
    tensors = {**theirs.tensors(), "mrcnn_mask/kernel": np.zeros((1, 1, MASK, 81)), "lstm/kernel": np.zeros(1)}
    del tensors["res4c_branch2b/bias"]
    with pytest.raises(CheckpointError) as error:
        assign(imported[0], matterport.make_entries(imported[0], tensors), tensors, matterport.IGNORED)
    for part in (
        "1 missing: res4c_branch2b/bias",
        "1 unexpected: lstm/kernel",
        "1 of another shape: mrcnn_mask/kernel has shape [1, 1, 8, 81], the model needs [1, 1, 8, 4]",
    ):
        assert part in str(error.value)


def test_other_files_and_configurations_are_refused(theirs, imported):
    with pytest.raises(CheckpointError, match=r"\(0, 0, 0, 0\) residual blocks.*first names: a/kernel"):
        matterport.make_config({"a/kernel": np.zeros(1)})
    tensors = {name: value for name, value in theirs.tensors().items() if not name.startswith("mrcnn_class_logits")}
    with pytest.raises(CheckpointError, match="mrcnn_class_logits/bias, by whose first axis .* is missing"):
        matterport.make_config(tensors)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(imported[0].config.fpn, "norm", "group_norm")
        with pytest.raises(CheckpointError, match="config.model.fpn.norm is 'group_norm'; allowed: 'none'"):
            matterport.make_entries(imported[0], tensors)
