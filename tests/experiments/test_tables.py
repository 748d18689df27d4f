"""What the tables say of their variants: they are configurations, and differ in what is compared alone."""

import pytest

from mask_rcnn_tf.config import to_dict
from mask_rcnn_tf.data import transforms
from mask_rcnn_tf.experiments.runs import configured
from mask_rcnn_tf.experiments.tables import TABLES
from mask_rcnn_tf.presets import load_config

NAMES = """roi_operator stride_32 mask_loss mask_classes mask_head with_mask tasks training cascade test_augmentation
    copy_paste"""


def leaves(values, prefix=""):
    if not isinstance(values, dict):
        return {prefix[:-1]: values}
    return {name: leaf for key, value in values.items() for name, leaf in leaves(value, f"{prefix}{key}.").items()}


def test_tables_are_those_of_the_paper():
    assert list(TABLES) == NAMES.split()


@pytest.mark.parametrize("preset", ["mask_rcnn_tables", "mask_rcnn_nuclei_tables"])
@pytest.mark.parametrize("name", TABLES)
def test_variants_are_configurations_that_differ_in_their_fields(name, preset):
    table, base = TABLES[name], load_config(preset)
    before = to_dict(base)
    configs = {variant: configured(base, table, variant, 4) for variant in table.variants}
    for config in configs.values():
        transforms.check_canvases(config)
    found = {variant: leaves(to_dict(config)) for variant, config in configs.items()}
    assert to_dict(base) == before
    for variant, values in found.items():
        changed = {key for key, value in leaves(before).items() if values[key] != value}
        assert changed <= {*table.fields, *table.variants[variant], "train.seed", "model.seed"}
        assert values["train.seed"] == values["model.seed"] == 4
    assert len({(str(values), table.training.get(variant)) for variant, values in found.items()}) == len(found) >= 2
    assert set(table.paper) | set(table.training) <= set(table.variants)


def test_values_may_follow_the_configuration():
    base = load_config("mask_rcnn_tables")
    base.model.preprocess.short_side = base.model.preprocess.max_side = 192
    base.data.train_short_sides, base.data.canvases = (192,), ((192, 192),)
    augmented = configured(base, TABLES["test_augmentation"], "augmented", 0)
    assert augmented.eval.augmentation.short_sides == (160, 192, 224)
    assert configured(base, TABLES["mask_loss"], "softmax", 0).train.steps == 5 * base.train.steps
    plain = configured(base, TABLES["copy_paste"], "plain", 0).data
    assert (plain.canvases, plain.scale_jitter) == (((192, 192),), (1.0, 1.0))
    nuclei = load_config("mask_rcnn_nuclei_tables")
    pasted = configured(nuclei, TABLES["copy_paste"], "copy_paste", 0).data
    assert (pasted.canvases, pasted.scale_jitter) == (((320, 320),), (0.8, 0.8))
    coarse = configured(base, TABLES["stride_32"], "pool", 0).model
    assert coarse.backbone.out_levels == coarse.rpn.levels == coarse.roi.levels == ("C5",) and not coarse.fpn.enabled
    assert coarse.anchors.sizes == (tuple(size for sizes in base.model.anchors.sizes for size in sizes),)
