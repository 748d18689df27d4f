"""The non-local block against the paper's equations in float64 NumPy, and its place in a ResNet and a model."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from export_writers import WRITERS, two_images
from tiny import enliven, finding_config, tiny_batch

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.models.backbones.non_local import NonLocal
from mask_rcnn_tf.models.backbones.resnet import ResNet
from mask_rcnn_tf.weights.exporter import to_torchvision

NARROW = {"stage_blocks": (1, 1, 3, 1), "stage_channels": (4,) * 4, "stem_channels": 4, "norm": "none"}


def by_hand(weights, values):
    """Equations 1 (normalised sum over all positions j), 4 (exp of the embeddings' dot product) and 6 (z = W y + x).

    Args:
      weights: of a block: kernel and bias of theta, phi, g and W.
      values: [B, h, w, c].
    """
    (theta, phi, g, last), values = weights, np.float64(values)
    found = np.zeros_like(values)
    for b, image in enumerate(values):
        pixels = image.reshape(-1, image.shape[-1])
        for i, pixel in enumerate(pixels):
            products = (pixels @ phi[0] + phi[1]) @ (pixel @ theta[0] + theta[1])
            shares = np.exp(products - products.max())  # the factor is in the sum too
            read = shares @ (pixels @ g[0] + g[1]) / shares.sum()
            found[b].reshape(pixels.shape)[i] = pixel + read @ last[0] + last[1]
    return found


def weights_of(block):
    return [(np.float64(conv.kernel)[0, 0], np.float64(conv.bias)) for conv in [*block.convs, block.last]]


def drawn(block, scale=0.5):
    random = np.random.default_rng(0)
    for variable in block.weights:
        variable.assign(random.normal(size=variable.shape) * scale)
    return block


def test_equations_of_the_paper():
    values = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype(np.float32)
    block = NonLocal(6)
    block.build((None, None, None, 6))
    np.testing.assert_array_equal(block(values), values)  # a new block changes nothing
    expected = by_hand(weights_of(drawn(block)), values)
    assert np.abs(expected - values).max() > 0.1
    np.testing.assert_allclose(block(values), expected, rtol=1e-5, atol=1e-5)


def test_gradient():
    """Of sum(z * r) in the inputs and all weights, against central differences of the definition in float64."""
    random = np.random.default_rng(1)
    values, factors = random.normal(size=(2, 1, 2, 3, 4))
    block = NonLocal(4)
    block.build((None, None, None, 4))
    inputs = tf.constant(values, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(drawn(block)(inputs) * tf.constant(factors, tf.float32))
    variables = [variable for conv in [*block.convs, block.last] for variable in (conv.kernel, conv.bias)]
    gradients = tape.gradient(total, [inputs, *(variable.value for variable in variables)])
    weights, values = weights_of(block), np.float64(inputs)
    arrays = [values, *(array for pair in weights for array in pair)]
    for gradient, array in zip(gradients, arrays, strict=True):
        expected = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            kept, both = array[place], []
            for step in (1e-5, -1e-5):
                array[place] = kept + step
                both.append((by_hand(weights, values) * factors).sum())
            array[place] = kept
            expected[place] = (both[0] - both[1]) / 2e-5
        np.testing.assert_allclose(np.reshape(gradient, array.shape), expected, rtol=1e-4, atol=1e-5)


def test_it_follows_the_block_that_is_named():
    backbone = ResNet(**NARROW, non_local_after=("c4_1",))
    backbone.build((None, None, None, 3))
    (block,) = backbone.non_local
    drawn(block, 0.05)
    found = backbone(np.random.default_rng(2).normal(size=(1, 64, 96, 3)).astype(np.float32))
    outputs = found["C3"]
    for residual in backbone.blocks[2:4]:
        outputs = residual(outputs)
    expected = backbone.blocks[4](tf.constant(by_hand(weights_of(block), outputs.numpy()), tf.float32))
    np.testing.assert_allclose(found["C4"], expected, rtol=1e-4, atol=1e-4)


def test_it_freezes_with_its_stage():
    for stages, trains in ((3, True), (4, False)):
        backbone = ResNet(**NARROW, non_local_after=("c4_1",), frozen_stages=stages)
        backbone.build((None, None, None, 3))
        assert bool(backbone.non_local[0].trainable_variables) is trains


@pytest.mark.parametrize("names", [("c4_3",), ("c4_1", "c4_1"), ("C4",), ("c5_0",)])
def test_names_that_no_block_has(names):
    config = finding_config()
    config.backbone.stage_blocks, config.backbone.non_local_after = (1, 1, 3, 1), names
    config.backbone.out_levels, config.fpn.enabled = ("C4",), False
    with pytest.raises(
        ValueError, match="non_local_after is .*; allowed: blocks that are built, c2_0 to c4_2, none tw"
    ):
        mrcnn.MaskRCNN(config)


@pytest.fixture(scope="module")
def model():
    """A tiny model whose block does something."""
    config = finding_config()
    config.backbone.stage_blocks, config.backbone.non_local_after = (1, 1, 2, 1), ("c4_0",)
    keras.utils.set_random_seed(5)
    model = enliven(mrcnn.MaskRCNN(config))
    drawn(model.backbone.non_local[0], 0.1)
    return model


@pytest.mark.slow
def test_a_model_trains_saves_and_loads(model, tmp_path):
    with tf.GradientTape() as tape:
        losses = model.compute_losses(tiny_batch(), tf.zeros([], tf.int64), True)
        total = tf.add_n(list(losses.values()))
    gradients = tape.gradient(total, [variable.value for variable in model.backbone.non_local[0].trainable_variables])
    assert len(gradients) == 8 and all(np.abs(gradient).max() > 0 for gradient in gradients[:1] + gradients[6:])
    image = np.random.default_rng(0).integers(0, 256, (64, 80, 3)).astype(np.uint8)
    model.save(tmp_path / "m.keras")
    (ours,), (theirs,) = (mrcnn.predict_images(it, [image]) for it in (model, mrcnn.load_model(tmp_path / "m.keras")))
    assert len(ours["detection_boxes"])
    for name, value in ours.items():
        np.testing.assert_array_equal(theirs[name], value, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_an_exported_model_finds_the_same(model, tmp_path, name):
    WRITERS[name](model, tmp_path / name, two_images())  # compares what it wrote with the model
    assert (tmp_path / name).exists()


def test_torchvision_has_no_place_for_it(model):
    with pytest.raises(mrcnn.weights.CheckpointError, match="non_local_after is .'c4_0',.; allowed: none"):
        to_torchvision(model)
