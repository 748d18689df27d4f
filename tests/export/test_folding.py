import numpy as np
import pytest
import tensorflow as tf
from tiny import tiny_batch, tiny_config

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.folding import fold


def random_model(norms=("batch_norm",) * 4, **options):
    """A tiny model whose weights, statistics included, are random."""
    config = tiny_config(**options)
    config.box_head.num_convs, config.box_head.conv_channels = 1, 16
    parts = (config.backbone, config.fpn, config.box_head, config.mask_head)
    for part, norm in zip(parts, norms, strict=True):
        part.norm = norm
    model = mrcnn.MaskRCNN(config)
    random = np.random.default_rng(0)
    for variable in model.weights:
        if not variable.path.endswith("kernel"):
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
    return model


NORMS = [
    ("batch_norm", "sync_batch_norm", "frozen_batch_norm", "none"),
    ("group_norm", "none", "batch_norm", "group_norm"),
]


@pytest.mark.parametrize("norms", NORMS)
def test_folded_model_finds_the_same(norms):
    model = random_model(norms)
    folded = fold(model)
    kept = [norm if norm == "group_norm" else "none" for norm in norms]
    parts = (folded.config.backbone, folded.config.fpn, folded.config.box_head, folded.config.mask_head)
    assert [part.norm for part in parts] == kept
    assert not any("moving" in variable.path for variable in folded.weights)
    image = tiny_batch()["image"]
    expected, found = model.extract_features(image), folded.extract_features(image)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5 * np.abs(expected[name]).max())
    pooled = tf.random.stateless_normal([4, 7, 7, 16], [0, 1])
    for mine, theirs in zip(folded.box_head(pooled), model.box_head(pooled), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)
    masks = [m.mask_head(pooled, tf.constant([1, 2, 3, 1])) for m in (folded, model)]
    np.testing.assert_allclose(*masks, rtol=1e-4, atol=1e-5)


def test_bfloat16_keeps_every_weight_in_it_but_those_of_boxes_and_scores():
    folded = fold(random_model(), "bfloat16")
    exact = ("rpn_head/objectness/", "rpn_head/deltas/", "box_head/class_logits/", "box_head/box_deltas/")
    for variable in folded.weights:
        assert variable.dtype == ("float32" if variable.path.startswith(exact) else "bfloat16"), variable.path
    assert folded.extract_features(tiny_batch()["image"])["P2"].dtype == tf.bfloat16
    outputs = folded(tf.zeros([1, 96, 96, 3], tf.uint8))
    assert outputs["detection_boxes"].dtype == tf.float32


def test_bfloat16_does_not_train():
    config = tiny_config(dtype="bfloat16")
    model = mrcnn.MaskRCNN(config)
    model.compile(optimizer=mrcnn.TorchSGD(0.1))
    with pytest.raises(ValueError, match="dtype is 'bfloat16', which is for inference"):
        model.fit(tf.data.Dataset.from_tensors(tiny_batch()), verbose=0)


def test_other_models_are_refused():
    with pytest.raises(ExportError, match="model is a str; allowed: a MaskRCNN"):
        fold("m.keras")
