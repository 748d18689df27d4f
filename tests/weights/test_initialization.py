"""Fine-tuning's start: what is copied between models, what is not, and what is refused."""

import re
import shlex
import sys

import numpy as np
import pytest
import tiny
from absl import flags
from tiny import filled

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.evaluation.files import load_model
from mask_rcnn_tf.training import flags as tool_flags
from mask_rcnn_tf.weights import initialization as module
from mask_rcnn_tf.weights.initialization import initialize

CLASS_DEPENDENT = [
    "box_head/class_logits/kernel",
    "box_head/class_logits/bias",
    "box_head/box_deltas/kernel",
    "box_head/box_deltas/bias",
    "mask_head/kernel",
    "mask_head/bias",
]


def with_classes(names, number=None):
    config = tiny.tiny_config()
    config.num_classes, config.class_names = number or len(names), names
    return config


def values(model):
    return {variable.path: variable.numpy() for variable in model.weights}


def check(model, before, source, kept):
    """`kept` variables are as before, the others the source's."""
    after, theirs = values(model), values(source)
    assert set(kept) <= after.keys()
    for path, value in after.items():
        np.testing.assert_array_equal(value, before[path] if path in kept else theirs[path], err_msg=path)


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (with_classes(("cat", "dog")), with_classes(("cat", "dog", "cow"))),
        (with_classes(("cat", "dog", "cow")), with_classes(("cow", "cat", "dog"))),
        (with_classes((), 3), with_classes((), 3)),
    ],
    ids=["another number", "another order", "no names"],
)
def test_other_classes_keep_their_initial_values(ours, theirs, tmp_path):
    filled(theirs, 1).save(tmp_path / "source.keras")
    source, model = load_model(tmp_path / "source.keras", with_optimizer=False), filled(ours, 2)
    before = values(model)
    report = initialize(model, source)
    check(model, before, source, CLASS_DEPENDENT)
    assert sorted(report.kept[module.OTHER_CLASSES]) == sorted(CLASS_DEPENDENT)
    first, second = report.lines()
    assert first == f"{len(before) - 6} of {len(before)} variables loaded"
    assert "class-dependent" in second and all(path in second for path in CLASS_DEPENDENT)


def test_same_classes_load_everything():
    source, model = (filled(with_classes(("cat", "dog", "cow")), seed) for seed in (1, 2))
    report = initialize(model, source)
    check(model, {}, source, [])
    assert report.lines() == [f"{len(model.weights)} of {len(model.weights)} variables loaded"]


def test_other_anchors_and_heads_are_listed():
    config = with_classes(("cat", "dog", "cow"))
    config.anchors.ratios, config.mask_head.enabled, config.box_head.num_fcs = (0.5, 1.0, 2.0), False, 1
    source, model = filled(config, 1), filled(with_classes(("cat", "dog", "cow")), 2)
    before = values(model)
    report = initialize(model, source)
    shape = ["rpn_head/objectness/kernel", "rpn_head/objectness/bias", "rpn_head/deltas/kernel", "rpn_head/deltas/bias"]
    absent = [path for path in before if path.startswith(("mask_head/", "box_head/fc1/"))]
    assert sorted(report.kept[module.OTHER_SHAPE]) == sorted(shape)
    assert sorted(report.kept[module.ABSENT]) == sorted(absent)
    check(model, before, source, shape + absent)
    assert [sum(path in line for line in report.lines()) for path in shape + absent] == [1] * len(shape + absent)
    report = initialize(source, model)
    assert sorted(report.unused) == sorted(absent)
    assert "there, but not in this model" in report.lines()[-1]


@pytest.mark.parametrize("norms", [("batch_norm", "frozen_batch_norm"), ("frozen_batch_norm", "sync_batch_norm")])
def test_kinds_of_batch_norm_are_one_format(norms):
    source, model = (filled(tiny.tiny_config(norm), seed) for seed, norm in enumerate(norms))
    before = values(model)
    initialize(model, source)
    check(model, before, source, CLASS_DEPENDENT)


def test_frozen_stages_stay_as_loaded():
    source = filled(tiny.tiny_config("batch_norm"), 1)
    config = tiny.tiny_config("frozen_batch_norm")
    config.backbone.frozen_stages = 3  # stem, C2, C3
    model = mrcnn.MaskRCNN(config)
    model.compile(optimizer="sgd", run_eagerly=True)
    with pytest.raises(ValueError, match="no pretrained weights were loaded"):
        model.make_train_function()
    initialize(model, source)
    model.make_train_function()
    frozen = {v.path for v in model.weights if v.path.startswith(("backbone/stem", "backbone/c2", "backbone/c3"))}
    assert frozen and not frozen & {variable.path for variable in model.trainable_variables}
    before = values(model)
    model.optimizer.learning_rate = 1e-9  # the weights are wild; a step must only be seen
    model.train_on_batch(tiny.tiny_batch())
    after = values(model)
    for path in frozen:
        np.testing.assert_array_equal(after[path], before[path], err_msg=path)


def changed(name):
    """A source's configuration that differs in one field."""
    config = tiny.tiny_config()
    section, field = name.split(".")
    value = {
        "channel_order": "BGR",
        "pixel_scale": 1 / 255,
        "mean": (0.485, 0.456, 0.406),
        "std": (1.0, 1.0, 2.0),
        "block": "bottleneck",
        "stage_blocks": (1, 2, 1, 1),
        "stage_channels": (8, 12, 16, 32),
        "stem_channels": 12,
        "stem_kernel": 7,
        "stride_in_1x1": False,
        "norm_epsilon": 0.0,
        "delta_weights": (1.0, 1.0, 1.0, 1.0),
        "cascade_delta_weights": ((1.0, 1.0, 1.0, 1.0), (30.0, 30.0, 15.0, 15.0)),
        "norm": "group_norm",
    }[field]
    setattr(getattr(config, section), field, value)
    return config, value


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in (*module.SAME_FIELDS, *module.NORM_FIELDS)
        if not name.startswith(("backbone.groups", "backbone.w", "backbone.keras"))
        and name not in ("preprocess.channels", "preprocess.bits")  # see test_widening
    ],
)
def test_what_weights_depend_on_must_agree(name, monkeypatch):
    theirs, value = changed(name)
    ours = tiny.tiny_config()
    section, field = name.split(".")
    our_value = getattr(getattr(ours, section), field)
    listed = f"config.model.{name} is {our_value!r} here, {value!r} there"
    with pytest.raises(ValueError, match=re.escape(listed)) as raised:
        module.check_same_fields(ours, theirs)
    # The flags that the message gives are the way out.
    arguments = shlex.split(str(raised.value).partition(", or: ")[2])
    argv = ["train.py", "--config=mask_rcnn_shapes", *arguments]
    monkeypatch.setattr(sys, "argv", argv)
    flag_values = flags.FlagValues()
    holder = tool_flags.define_config(flag_values)
    tool_flags.parse(argv, flag_values)
    assert getattr(getattr(holder.value.model, section), field) == value


def test_a_network_of_keras_and_a_resnet_must_not_be_mixed(monkeypatch):
    theirs = tiny.tiny_config()
    theirs.backbone.keras_application, theirs.preprocess.channel_order = "ConvNeXtTiny", "RGB"
    theirs.preprocess.mean, theirs.preprocess.std = (0.0,) * 3, (1.0,) * 3
    with pytest.raises(ValueError, match="backbone.keras_application is '' here, 'ConvNeXtTiny' there") as raised:
        module.check_same_fields(tiny.tiny_config(), theirs)
    arguments = shlex.split(str(raised.value).partition(", or: ")[2])
    argv = ["train.py", "--config=mask_rcnn_shapes", *arguments]
    monkeypatch.setattr(sys, "argv", argv)
    flag_values = flags.FlagValues()
    holder = tool_flags.define_config(flag_values)
    tool_flags.parse(argv, flag_values)
    assert holder.value.validate().model.backbone.keras_application == "ConvNeXtTiny"


def test_grouped_convolutions_must_agree_and_nothing_is_copied():
    configs = [tiny.tiny_config(), tiny.tiny_config()]
    for config in configs:
        config.backbone.block, config.backbone.stage_channels = "bottleneck", (16, 16, 16, 16)
    configs[1].backbone.groups, configs[1].backbone.width_per_group = 2, 32
    model, source = (filled(config, seed) for seed, config in enumerate(configs))
    before = values(model)
    with pytest.raises(ValueError, match=r"backbone.groups is 1 here, 2 there; .*width_per_group is 64 here, 32 there"):
        initialize(model, source)
    check(model, before, source, list(before))
