"""The first convolution of a network of photos, for images of other channels."""

import numpy as np
import pytest
import tiny
from tiny import filled

from mask_rcnn_tf.config import PreprocessConfig
from mask_rcnn_tf.weights import widening
from mask_rcnn_tf.weights.initialization import initialize

TORCHVISION = {"channel_order": "RGB", "pixel_scale": 1 / 255, "mean": (0.485, 0.456, 0.406)}
TORCHVISION |= {"std": (0.229, 0.224, 0.225)}
KERNEL = np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype(np.float32)


def timms(kernel, channels):
    """The rule of timm, written down once more: [k, k, 3, f] to [k, k, C, f]."""
    if channels == 1:
        return kernel.sum(2, keepdims=True)
    repeated = np.tile(kernel, (1, 1, -(-channels // 3), 1))[:, :, :channels]
    return repeated * (3 / channels)


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 8])
def test_normalised_photos_are_widened_as_by_timm(channels):
    """Pixels of ImageNet's own mean and deviation are those that a deviation of 1 is assumed of."""
    found = widening.widened(KERNEL, PreprocessConfig(**TORCHVISION), channels)
    np.testing.assert_allclose(found, timms(KERNEL, channels), rtol=1e-3)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_what_the_network_saw_decides_the_scale(channels):
    """Channels that are copies of red, green, blue, normalised, give what the network of photos gives."""
    theirs = PreprocessConfig()  # BGR, minus mean, not divided
    photo = np.random.default_rng(1).normal(size=3) * widening.PHOTO_STD  # RGB levels around their mean
    seen = photo[::-1] / np.array(theirs.std)
    wanted = np.einsum("c,yxcf->yxf", seen, KERNEL.astype(np.float64))
    ours = photo / widening.PHOTO_STD
    channels_of = [channel % 3 for channel in range(channels)] if channels > 1 else [0]
    kernel = widening.widened(KERNEL, theirs, channels)
    if channels == 3:
        np.testing.assert_allclose(np.einsum("c,yxcf->yxf", ours[channels_of], kernel), wanted, rtol=1e-4, atol=1e-4)
    grey = np.full(channels, 1.7)  # all channels alike: however many there are, it is one grey photo
    photo = 1.7 * np.array(widening.PHOTO_STD)[::-1]
    wanted = np.einsum("c,yxcf->yxf", photo, KERNEL.astype(np.float64))
    if channels % 3 == 0 or channels == 1:
        np.testing.assert_allclose(np.einsum("c,yxcf->yxf", grey, kernel), wanted, rtol=1e-4, atol=1e-4)


def spectral(channels=5, bits=16):
    config, white = tiny.tiny_config(), 2**bits - 1
    preprocess = config.preprocess
    preprocess.channels, preprocess.bits, preprocess.round_resized = channels, bits, False
    preprocess.channel_order, preprocess.mean, preprocess.std = "RGB", (white / 3,) * channels, (white / 9,) * channels
    return config


@pytest.mark.parametrize(("channels", "bits"), [(5, 16), (1, 8), (3, 16)])
def test_a_model_starts_from_one_of_photos(channels, bits):
    source, model = filled(tiny.tiny_config(), 1), filled(spectral(channels, bits), 2)
    report = initialize(model, source)
    kernels = [one.get_layer("backbone").stem.kernel.numpy() for one in (source, model)]
    np.testing.assert_array_equal(kernels[1], widening.widened(kernels[0], source.config.preprocess, channels))
    lines = report.lines()
    assert any(f"made for images {model.config.preprocess.pixels}" in line for line in lines)
    assert "backbone/stem/kernel" in report.loaded and not any("does not learn" in line for line in lines)
    for ours, theirs in zip(model.weights, source.weights, strict=True):
        if ours.path in report.loaded and "stem/kernel" not in ours.path:
            np.testing.assert_array_equal(ours, theirs)


def test_a_frozen_first_convolution_is_said():
    config = spectral()
    config.backbone.frozen_stages = 2
    assert any(
        "frozen_stages is 2, so that it does" in line
        for line in initialize(filled(config, 2), filled(tiny.tiny_config(), 1)).lines()
    )


def test_only_photos_are_widened_and_all_else_must_agree():
    with pytest.raises(ValueError, match=r"its weights are of images uint16 .h, w, 5.; allowed: RGB of 8 bits, or"):
        initialize(filled(spectral(4), 2), filled(spectral(5), 1))
    other = spectral()
    other.box_head.delta_weights = (1.0, 1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="belong to another network: config.model.box_head.delta_weights is") as error:
        initialize(filled(other, 2), filled(tiny.tiny_config(), 1))
    assert "preprocess" not in str(error.value)
    same = spectral()
    same.preprocess.std = (1.0,) * 5  # of one kind nothing is widened: their numbers must agree
    with pytest.raises(ValueError, match="config.model.preprocess.std is"):
        initialize(filled(same, 2), filled(spectral(), 1))
