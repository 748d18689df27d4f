"""The typed configuration: validation, JSON, presets, overrides from the command line."""

import copy
import dataclasses
import json
import pickle
import sys

import pytest
from absl import flags
from ml_collections import config_flags

from mask_rcnn_tf import config as configuration
from mask_rcnn_tf.config import Config, from_dict, to_dict
from mask_rcnn_tf.fields import weight_fields
from mask_rcnn_tf.presets import load_config, preset_names


def leaves(section, prefix=""):
    """(dotted name, value) of every field that is not a section."""
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, value


def assign(config, name, value):
    """Sets a leaf by its dotted name."""
    *sections, leaf = name.split(".")
    for section in sections:
        config = getattr(config, section)
    assert hasattr(config, leaf), name
    setattr(config, leaf, value)


def test_defaults_are_detectron2s_and_valid():
    config = Config().validate()
    assert config.model.preprocess.mean == (103.53, 116.28, 123.675) and config.model.preprocess.channel_order == "BGR"
    assert config.model.roi.aligned and not config.model.anchors.rounded
    assert config.model.rpn.loss_beta == config.model.box_head.loss_beta == 0.0
    assert (config.model.detection.score_threshold, config.model.detection.nms_iou) == (0.05, 0.5)
    assert (config.train.learning_rate, config.train.base_batch_size, config.train.warmup_steps) == (0.02, 16, 1000)


def test_sections_are_not_shared_between_configs():
    first, second = Config(), Config()
    first.model.rpn.samples = 7
    assert second.model.rpn.samples == 256


@pytest.mark.parametrize(
    "name, value",
    [
        ("model.num_classes", 0),
        ("model.class_names", ("cat",)),
        ("model.kernels", "cuda"),
        ("model.dtype", "float16"),
        ("model.sampler", "first"),
        ("model.preprocess.short_side", 0),
        ("model.preprocess.size_rounding", "up"),
        ("model.preprocess.channel_order", "GBR"),
        ("model.preprocess.mean", (1.0,)),
        ("model.preprocess.std", (1.0, 0.0, 1.0)),
        ("model.preprocess.size_divisor", 48),
        ("model.backbone.block", "dense"),
        ("model.backbone.norm", "layer_norm"),
        ("model.backbone.stage_blocks", (3, 4, 6)),
        ("model.backbone.stage_channels", (64, 128, 256, 0)),
        ("model.backbone.frozen_stages", 6),
        ("model.backbone.groups", 0),
        ("model.backbone.width_per_group", 0),
        ("model.fpn.norm", "bn"),
        ("model.box_head.norm", "bn"),
        ("model.mask_head.norm", "bn"),
        ("model.anchors.stride_rule", "image"),
        ("model.rpn.ranking", "score"),
        ("model.rpn.loss_normalizer", "mean"),
        ("model.rpn.nms_iou", 1.5),
        ("model.rpn.negative_iou", 0.8),
        ("model.rpn.samples", 0),
        ("model.roi.level_rule", "fpn"),
        ("model.roi.positive_fraction", -0.1),
        ("model.box_head.delta_weights", (1.0, 1.0)),
        ("model.mask_head.mask_frame", "image"),
        ("model.detection.paste", "floor"),
        ("model.detection.max_detections", 0),
        ("model.detection.score_threshold", 2.0),
        ("data.dataset", "voc"),
        ("data.max_gt", 0),
        ("data.train_short_sides", ()),
        ("data.canvases", ()),
        ("data.canvases", ((800, 1333),)),
        ("data.shapes.max_objects", 2),
        ("data.shapes.max_side", 500),
        ("train.optimizer", "lion"),
        ("train.schedule", "linear"),
        ("train.batch_size", 0),
        ("train.learning_rate", -0.1),
        ("train.learning_rate", float("nan")),
        ("train.warmup_steps", -1),
        ("train.momentum", 7.0),
        ("train.warmup_rule", "line"),
        ("train.decay_steps", (8, 4)),
        ("train.batch_size", 2.5),
        ("train.weight_decay", float("inf")),
        ("eval.batch_size", 0),
        ("eval.max_dets", (100, 1)),
        ("model.roi.sampling_ratio", -1),
        ("model.roi.positive_fraction", 0.0001),
        ("model.roi.levels", ("P2", "P2")),
        ("model.backbone.stem_kernel", 6),
        ("model.anchors.ratios", (1.0, -0.5)),
        ("model.box_head.delta_weights", (10.0, 10.0, 0.0, 5.0)),
        ("model.preprocess.mean", (1.0, float("nan"), 1.0)),
        ("model.seed", -1),
        ("data.cache", 1),
        ("data.keypoint_sigmas", (0.1, 0.0)),
    ],
)
def test_a_bad_value_is_named_with_what_came_and_what_is_allowed(name, value):
    config = Config()
    assign(config, name, value)
    with pytest.raises(ValueError, match=rf"^config\.{name.rsplit('.', 1)[0]}.* is .*; allowed: .+") as error:
        config.validate()
    assert name.rsplit(".", 1)[1] in str(error.value) and repr(value).strip("(),") in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("model.num_classes", 0, "a number above 0"),
        ("model.num_classes", "many", "a whole number"),
        ("model.num_classes", 10**5000, "whole numbers below 2**63"),
        ("model.category_ids", (1, 2**63), "whole numbers below 2**63"),
        ("model.rpn.min_size", -1.0, "a number of at least 0"),
        ("model.rpn.nms_iou", 1.5, "a number from 0 to 1"),
        ("model.preprocess.short_side", 10**9, "a number above 0, at most 16384"),
        ("model.backbone.stage_blocks", (10**7,) * 4, "4 values, each above 0, at most 200"),
        ("model.backbone.stem_kernel", 6, "a number above 0, odd"),
        ("model.preprocess.size_divisor", 48, "a multiple of 32, where fpn.enabled"),
        ("model.preprocess.size_divisor", 0, "a number above 0, at most 16384"),
        ("model.backbone.out_levels", ("C4", "C3"), "names, finest first, none twice"),
        ("model.backbone.out_levels", ("C2", "C4"), "levels that follow each other, where fpn.enabled"),
        ("model.backbone.out_levels", ("C1",), "'C2', 'C3', 'C4', 'C5'"),
        ("model.backbone.c5_dilation", 2, "1, where fpn.enabled: C5 needs twice C4's stride"),
        ("model.roi.body", "C5", "'none', unless fpn is not enabled, and C5 not dilated or in out_levels"),
        ("data.cache", 1, "True or False"),
        ("data.val_images", 3, "text"),
        ("data.canvases", ((5, 5),), "one or more values, each at least 32, a multiple of 32"),
        ("train.momentum", 1.0, "a number of at least 0, below 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_allowed_is_said_in_words(name, value, allowed):
    config = Config()
    assign(config, name, value)
    with pytest.raises(ValueError) as error:
        config.validate()
    assert str(error.value).endswith(f"; allowed: {allowed}.") and len(str(error.value)) < 300


def test_class_names_are_printable():
    config = Config()
    config.model.num_classes, config.model.class_names = 2, ("cat", "do\ng\0")
    with pytest.raises(ValueError, match=r"class_names is \['do\\ng\\x00'\]; allowed: names of printable characters"):
        config.validate()


def test_every_field_is_checked():
    """By its type at least: what is no value of it is refused, whatever the field."""
    for name, value in leaves(Config()):
        config = Config()
        assign(config, name, {"not": "a value"})
        with pytest.raises(ValueError, match=rf"^config\.{name} is .*; allowed: .+"):
            config.validate()
        if not isinstance(value, bool | str | tuple):
            assign(config, name, float("nan"))
            with pytest.raises(ValueError, match=rf"^config\.{name} is nan; allowed: .+"):
                config.validate()


@pytest.mark.parametrize("section, name", [("train", "learning_rte"), ("data", "cashe"), ("eval", "max_det")])
def test_a_misspelt_field_is_an_error_where_it_is_written(section, name):
    config = Config()
    with pytest.raises(AttributeError, match=rf"^\w+Config has no field '{name}'; allowed: \w+.*\.$") as error:
        setattr(getattr(config, section), name, 5)
    assert "learning_rate" in str(error.value) or section != "train"
    with pytest.raises(AttributeError, match="Config has no field 'modle'; allowed: model"):
        config.modle = config.model


def test_sections_can_be_copied_and_pickled():
    config = Config(name="mine")
    assert copy.deepcopy(config) == pickle.loads(pickle.dumps(config)) == config


def test_fields_that_weights_depend_on():
    same, norm = (set(weight_fields(configuration.ModelConfig, kind)) for kind in ("same", "norm"))
    assert norm == {"backbone.norm", "fpn.norm", "box_head.norm", "mask_head.norm"}
    assert {"preprocess.mean", "backbone.stage_blocks", "box_head.delta_weights"} <= same and len(same) == 19


def test_anchors_need_five_equal_levels():
    config = Config()
    config.model.anchors.sizes = ((32.0,),) * 4
    with pytest.raises(ValueError, match=r"config\.model\.anchors .*5 tuples"):
        config.validate()
    config.model.anchors.sizes = ((32.0, 48.0), (64.0,), (128.0,), (256.0,), (512.0,))
    with pytest.raises(ValueError, match=r"config\.model\.anchors\.sizes .*as many sizes on every level"):
        config.validate()


@pytest.mark.parametrize("name", preset_names())
def test_presets_load_and_survive_json(name):
    config = load_config(name)
    assert config.name == name
    again = from_dict(Config, json.loads(json.dumps(to_dict(config))))
    assert again == config
    assert {key: type(value) for key, value in leaves(again)} == {key: type(value) for key, value in leaves(config)}


def test_from_dict_keeps_defaults_and_names_unknown_keys():
    assert from_dict(Config, {"train": {"steps": 5}}).train == configuration.TrainConfig(steps=5)
    with pytest.raises(ValueError, match=r"config\.model\.rpn has no key 'sampels'; known: .*samples"):
        from_dict(Config, {"model": {"rpn": {"sampels": 1}}})
    with pytest.raises(ValueError, match=r"config\.model is 3; allowed: a table of ModelConfig's keys"):
        from_dict(Config, {"model": 3})


@pytest.mark.parametrize(
    "values",
    [
        {"train": {"steps": "many"}},
        {"train": {"learning_rate": None}},
        {"data": {"cache": "yes"}},
        {"data": {"canvases": 7}},
    ],
    ids=lambda values: str(values),
)
def test_from_dict_refuses_other_types(values):
    ((section, leaf),) = values.items()
    with pytest.raises(ValueError, match=rf"config\.{section}\.{next(iter(leaf))} is "):
        from_dict(Config, values)


def test_from_dict_takes_whole_numbers_as_floats():
    assert from_dict(Config, {"train": {"learning_rate": 1}}).train.learning_rate == 1


def test_load_config_takes_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from mask_rcnn_tf.config import Config\ndef get_config():\n    return Config(name='mine')\n")
    assert load_config(str(path)) == Config(name="mine")


def test_load_config_copies(tmp_path):
    path = tmp_path / "one.py"
    path.write_text("from mask_rcnn_tf.config import Config\nONE = Config()\ndef get_config():\n    return ONE\n")
    changed = load_config(str(path))
    changed.train.steps = 1
    assert load_config(str(path)).train.steps == Config().train.steps
    preset = load_config("mask_rcnn_r50_fpn")
    preset.model.rpn.samples = 1
    assert load_config("mask_rcnn_r50_fpn").model.rpn.samples == 256


def test_load_config_validates_what_a_file_returns(tmp_path):
    path = tmp_path / "bad.py"
    source = "from mask_rcnn_tf.config import Config\ndef get_config():\n    config = Config()\n"
    path.write_text(source + "    config.model.kernels = 'fast'\n    return config\n")
    with pytest.raises(ValueError, match="config.model.kernels is 'fast'; allowed: 'native', 'xla'"):
        load_config(str(path))


@pytest.mark.parametrize("name", ["mask_rcnn_r51_fpn", "no/such/file.py", ""])
def test_load_config_says_what_there_is(name):
    with pytest.raises(
        ValueError, match="there is no such file|allowed: a path to a .py file, or one of .*mask_rcnn_r50"
    ):
        load_config(name)
    with pytest.raises(ValueError, match="config is a NoneType; allowed: the name of a preset, or a path"):
        load_config(None)


@pytest.fixture
def parse(monkeypatch):
    """Parses a command line of overrides against the defaults."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["tool", *arguments])  # config_flags looks for overrides there
        values = flags.FlagValues()
        config_flags.DEFINE_config_dataclass("config", Config(), flag_values=values)
        values(sys.argv)
        return values.config

    return run


def test_flags_override_every_type(parse):
    config = parse(
        "--config.train.learning_rate=1e-4",
        "--config.model.rpn.samples=64",
        "--config.data.cache=true",
        "--config.model.dtype=mixed_bfloat16",
        "--config.data.train_short_sides=(480, 512)",
        "--config.data.canvases=((512, 512), (512, 640))",
        "--config.model.backbone.stage_blocks=(3, 4, 23, 3)",
    ).validate()
    assert (config.train.learning_rate, config.model.rpn.samples, config.data.cache) == (1e-4, 64, True)
    assert config.data.train_short_sides == (480, 512) and config.data.canvases == ((512, 512), (512, 640))
    assert (config.model.dtype, config.model.backbone.stage_blocks) == ("mixed_bfloat16", (3, 4, 23, 3))


def test_every_leaf_has_a_flag(parse):
    values = dict(leaves(Config()))
    arguments = [f"--config.{name}={value}" for name, value in values.items() if not (value == "" or value == ())]
    assert len(arguments) > 100
    assert parse(*arguments) == Config()


@pytest.mark.parametrize("argument", ["--config.train.learning_rat=1", "--config.train.steps=many"])
def test_flags_refuse_what_is_not_there(parse, argument):
    with pytest.raises((flags.Error, AttributeError, KeyError, ValueError)):
        parse(argument)
