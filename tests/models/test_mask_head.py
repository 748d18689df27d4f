"""The mask head's forms: an MLP, one mask for all classes, a softmax over them; against NumPy in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import enliven, tiny_batch, tiny_config

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.models import losses
from mask_rcnn_tf.models.heads.mask import MaskHead

FORMS = {
    "fcn": {},
    "mlp": {"num_fcs": 2, "fc_channels": 24},
    "agnostic": {"class_agnostic": True},
    "softmax": {"activation": "softmax"},
    "all": {"num_fcs": 1, "fc_channels": 24, "class_agnostic": True, "activation": "softmax"},
}
CLASSES = np.array([1, 3, 2, 3, 0], np.int32)  # 0 is padding


@pytest.fixture(scope="module")
def pooled():
    return np.random.default_rng(0).normal(size=(5, 4, 4, 6)).astype(np.float32)


def head_of(form):
    keras.utils.set_random_seed(1)
    head = MaskHead(3, num_convs=1, channels=8, pool_size=4, name="mask_head", **FORMS[form])
    head.build((None, 4, 4, 6))
    random = np.random.default_rng(2)
    for variable in head.weights:
        variable.assign(random.normal(scale=0.3, size=variable.shape))
    return head


def softmax(channels):
    shifted = np.exp(channels - channels.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


@pytest.mark.parametrize("form", ["mlp", "all"])
def test_an_mlp_is_matrix_products(pooled, form):
    head, outputs = head_of(form), pooled.reshape(5, -1).astype(np.float64)
    for layer in head.fcs:
        outputs = np.maximum(outputs @ layer.kernel.numpy() + layer.bias.numpy(), 0)
    outputs = outputs @ head.masks.kernel.numpy() + head.masks.bias.numpy()
    channels = outputs.reshape(5, 8, 8, -1)
    shares = softmax(channels)[..., 1:] if form == "all" else 1 / (1 + np.exp(-channels))
    assert shares.shape[-1] == (1 if form == "all" else 3)
    found = tf.sigmoid(head(pooled, CLASSES)).numpy()
    for row, number in enumerate(CLASSES):
        index = 0 if form == "all" else max(number - 1, 0)
        np.testing.assert_allclose(found[row], shares[row, ..., index], atol=2e-6)


@pytest.mark.parametrize("form", FORMS)
def test_all_masks_are_those_that_are_asked_for(pooled, form):
    head = head_of(form)
    every = head.all_logits(pooled).numpy()
    assert every.shape == (5, 8, 8, 1 if head.class_agnostic else 3)
    asked = head(pooled, CLASSES).numpy()
    for row, number in enumerate(CLASSES):
        index = 0 if head.class_agnostic else max(number - 1, 0)
        np.testing.assert_allclose(asked[row], every[row, ..., index], rtol=1e-4, atol=1e-4)


def test_a_softmax_shares_each_pixel_among_classes_and_background(pooled):
    head = head_of("softmax")
    channels = head._channels(tf.constant(pooled), False, None).numpy().astype(np.float64)
    assert channels.shape[-1] == 4
    np.testing.assert_allclose(tf.sigmoid(head.all_logits(pooled)), softmax(channels)[..., 1:], atol=1e-6)
    sure = head._odds(tf.constant([[0.0, 200.0, 0.0, 0.0]]))
    assert np.isfinite(sure).all() and tf.sigmoid(sure)[0, 0] > 0.999999


def test_multinomial_loss_and_its_gradient():
    random = np.random.default_rng(3)
    channels, targets = random.normal(size=(4, 2, 2, 3)), random.random((4, 2, 2))
    valid = np.array([True, True, False, True])
    with tf.GradientTape() as tape:
        logits = tf.constant(channels, tf.float32)
        tape.watch(logits)
        shares = tf.nn.log_softmax(logits)
        total, count = losses.softmax_mask_loss(shares[..., 1], shares[..., 0], tf.constant(targets, tf.float32), valid)
    expected = -(targets * np.log(softmax(channels)[..., 1]) + (1 - targets) * np.log(softmax(channels)[..., 0]))
    np.testing.assert_allclose(total, expected[valid].sum(), rtol=1e-5)
    assert count == 12.0
    wanted = np.stack([1 - targets, targets, np.zeros_like(targets)], -1)
    gradient = (softmax(channels) - wanted) * valid[:, None, None, None]
    np.testing.assert_allclose(tape.gradient(total, logits), gradient, atol=1e-6)


def test_masks_of_all_classes_are_of_use_under_other_classes():
    assert head_of("agnostic").class_paths() == set() == head_of("all").class_paths()
    assert head_of("mlp").class_paths() == {"mask_head/masks/kernel", "mask_head/masks/bias"}


@pytest.mark.parametrize("form", ["mlp", "all"])
def test_a_model_trains_saves_and_loads(form, tmp_path):
    config = tiny_config()
    for name, value in FORMS[form].items():
        setattr(config.mask_head, name, value)
    keras.utils.set_random_seed(5)
    model = enliven(mrcnn.MaskRCNN(config))
    batch = tiny_batch()
    with tf.GradientTape() as tape:
        loss = model.compute_losses(batch, tf.zeros([], tf.int64), True)["mask"]
    gradients = tape.gradient(loss, model.mask_head.trainable_variables)
    assert np.isfinite(loss) and all(np.abs(gradient).max() > 0 for gradient in gradients)
    model.save(tmp_path / "model.keras")
    images = np.random.default_rng(0).integers(0, 256, (1, 80, 96, 3)).astype(np.uint8)
    before, after = (each.predict_on_batch(images) for each in (model, mrcnn.load_model(tmp_path / "model.keras")))
    assert before["num_detections"][0] > 0
    np.testing.assert_array_equal(before["detection_masks"], after["detection_masks"])
