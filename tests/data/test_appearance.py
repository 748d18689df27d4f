"""What is drawn of an image's look: how often, how strongly, always the same; and that levels stay levels."""

import numpy as np
import pytest
import tensorflow as tf
from looks import STRENGTHS, with_strengths
from rectangle_records import CANVAS, drawn, jitter_config, make_record

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import appearance, copy_paste, transforms
from mask_rcnn_tf.ops import colours, degradations

# Short side, mirror, scale and window, objects that are pasted: drawn by the commit before there were these options.
BEFORE = (
    736,
    True,
    [1.3779269456863403, 0.0008414983749389648, 0.15030550956726074],
    [2, 4, 7, 10, 12, 13, 14, 16, 17],
)


def draw(config, image_id=3, epoch=4):
    drawn_here = transforms.augment_draws(config, tf.constant(image_id, tf.int64), tf.constant(epoch, tf.int64))
    return {name: value.numpy() for name, value in drawn_here.items()}


@pytest.fixture(scope="module")
def many():
    config = with_strengths(Config(), **STRENGTHS)
    draw = tf.function(lambda seed: appearance.appearance_draws(config, seed), autograph=False)
    rows = [draw(tf.constant([epoch * 1_000_003, image], tf.int64)) for image in range(20) for epoch in range(20)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def test_ranges_and_shares(many):
    for name in ("brightness", "contrast", "saturation"):
        low, high = 1 - STRENGTHS[name], 1 + STRENGTHS[name]
        assert low <= many[name].min() < low + 0.02 and high - 0.02 < many[name].max() <= high, name
    assert -0.1 <= many["hue"].min() < -0.097 and 0.097 < many["hue"].max() <= 0.1
    assert (
        0.5 <= many["gamma"].min() < 0.52 and 1.95 < many["gamma"].max() <= 2 and 0.4 < np.mean(many["gamma"] < 1) < 0.6
    )
    assert 0.18 < many["grey"].mean() < 0.32
    for name, most in (("blur", 2.0), ("noise", 20.0)):
        assert 0.42 < np.mean(many[name] > 0) < 0.58 and 0.95 * most < many[name].max() <= most, name
    quality = many["jpeg_quality"]
    assert 0.42 < np.mean(quality < 100) < 0.58 and quality.min() in (30, 31) and quality.max() == 100
    numbers = np.array([many[name].astype(float) for name in STRENGTHS])
    assert np.abs(np.corrcoef(numbers) - np.eye(len(numbers))).max() < 0.2
    assert len(np.unique(many["noise_seed"], axis=0)) == 400


def test_what_one_option_draws_the_others_do_not_change():
    """Nor what runs drew before there were any of them."""
    config = Config()
    plain = draw(config)
    assert set(plain) == {"short_side", "flip_horizontal", "flip_vertical"}
    config.data.right_angles, config.data.rotation, config.data.crop = True, 30.0, 0.7
    everything = draw(with_strengths(config, **STRENGTHS))
    for name, value in plain.items():
        assert everything[name] == value
    for name, value in STRENGTHS.items():
        alone = draw(with_strengths(Config(), **{name: value}))
        assert set(alone) == {*plain, name, *(("noise_seed",) if name == "noise" else ())}
        np.testing.assert_array_equal(alone[name], everything[name])


def test_in_the_order_of_light_lens_sensor_and_file():
    image = tf.constant(make_record()[0]["image"].numpy(), tf.float32)
    config = with_strengths(Config(), **STRENGTHS)
    seed = tf.constant([5, 6], tf.int64)
    numbers = {
        "brightness": 0.8,
        "contrast": 1.2,
        "saturation": 0.6,
        "hue": 0.05,
        "gamma": 1.3,
        "blur": 1.0,
        "noise": 9.0,
    }
    draws = {name: tf.constant(value) for name, value in numbers.items()}
    draws |= {"grey": tf.constant(True), "noise_seed": seed, "jpeg_quality": tf.constant(50)}
    expected = image
    for change in (colours.brightness, colours.contrast, colours.saturation, colours.hue, colours.gamma):
        expected = change(expected, draws[change.__name__])
    expected = degradations.blur(colours.grey(expected), draws["blur"], 6)
    expected = degradations.jpeg(degradations.noise(expected, draws["noise"], seed), draws["jpeg_quality"])
    np.testing.assert_array_equal(appearance.varied(config, image, draws), expected)
    off = {"grey": tf.constant(False), "blur": tf.constant(0.0), "noise": tf.constant(0.0), "noise_seed": seed}
    off |= {"jpeg_quality": tf.constant(100), "brightness": tf.constant(1.0)}
    np.testing.assert_array_equal(appearance.varied(config, image, off), image)


def test_levels_stay_levels_and_padding_stays_padding():
    """The strongest of everything; numbers that normalise nothing."""
    config = jitter_config()
    strongest = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.5, "gamma": 4.0, "noise": 255.0}
    with_strengths(config, **strongest, blur=20.0, jpeg_quality=1)
    record, _ = make_record()
    compacted, place = transforms.compact(config, dict(record)), drawn(0.5, (0.0, 0.0), (True, False))
    plain = transforms.example(config, compacted, place, CANVAS)
    for image_id in range(3):
        drawn_here = transforms.augment_draws(config, tf.constant(image_id, tf.int64), tf.constant(0, tf.int64))
        example = transforms.example(config, compacted, drawn_here | place, CANVAS)
        image, (height, width) = example["image"].numpy(), example["image_shape"].numpy()
        assert image.min() >= 0 and image.max() <= 255 and np.isfinite(image).all()
        assert not image[height:].any() and not image[:, width:].any()
        assert np.abs(image - plain["image"]).mean() > 1
        for name in ("gt_boxes", "gt_classes", "gt_masks", "image_shape"):
            np.testing.assert_array_equal(example[name], plain[name])


def test_draws_of_before_there_were_these_options():
    """As the commit before them drew, image 3 in epoch 4, whatever else is on."""
    config = with_strengths(Config(), **STRENGTHS)
    config.data.crop, config.data.rotation, config.data.right_angles = 0.6, 30.0, True
    config.data.canvases, config.data.scale_jitter, config.data.copy_paste = ((800, 800),), (0.1, 2.0), 0.9
    found = draw(config)
    assert (found["short_side"], found["flip_horizontal"]) == BEFORE[:2]
    np.testing.assert_allclose([found["scale"], *found["window"]], BEFORE[2], rtol=1e-6)
    pasted = copy_paste.paste_draws(config, tf.constant(3, tf.int64), tf.constant(4, tf.int64))
    assert np.flatnonzero(pasted[:20]).tolist() == BEFORE[3]
