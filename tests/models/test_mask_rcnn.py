"""Behaviour of the model as users meet it: fit, evaluate, predict, save, mixed precision, bad input."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from same_detections import LOSSES, assert_same_detections, dataset
from tiny import finding_model, tiny_batch, tiny_config, tiny_model

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf import config as configuration
from mask_rcnn_tf.models import prediction, preprocessing


@pytest.fixture(scope="module")
def trained():
    model = tiny_model()
    model.compile(keras.optimizers.Adam(3e-3))
    batch = tiny_batch(4)
    history = model.fit(dataset(batch).repeat(), steps_per_epoch=40, epochs=2, verbose=0)
    return model, batch, history.history


def test_fit_learns_and_reports_each_loss(trained):
    history = trained[2]
    assert set(history) == set(LOSSES)
    assert history["loss"][1] < 0.8 * history["loss"][0]
    np.testing.assert_allclose(history["loss"][1], sum(history[name][1] for name in LOSSES[1:]), rtol=1e-5)


def test_evaluate_gives_losses_and_changes_nothing(trained):
    model, batch, _ = trained
    weights = [w.numpy() for w in model.weights]
    first, second = (model.evaluate(dataset(batch), verbose=0, return_dict=True) for _ in range(2))
    assert set(first) == set(LOSSES) and first == second
    np.testing.assert_allclose(first["loss"], sum(first[name] for name in LOSSES[1:]), rtol=1e-5)
    for before, after in zip(weights, model.weights, strict=True):
        np.testing.assert_array_equal(before, after.numpy())


def test_predict_takes_labelled_datasets_dicts_and_raw_images(trained):
    model, batch, _ = trained
    by_dataset = model.predict(dataset(batch), verbose=0)
    prepared = {name: batch[name].numpy() for name in ("image", "image_shape")}
    assert_same_detections(by_dataset, model.predict(prepared, verbose=0))
    assert by_dataset["detection_masks"].shape == (4, 10, 28, 28)
    raw = np.random.default_rng(0).integers(0, 255, (3, 70, 110, 3), np.uint8)
    detections = model.predict(raw, verbose=0)
    assert detections["detection_boxes"].shape == (3, 10, 4)
    assert detections["detection_boxes"].max() <= 110 and detections["detection_boxes"][..., ::2].max() <= 70


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 97, 53), (2, 200, 31)])
def test_predict_any_batch_and_any_size(trained, shape):
    raw = np.full((*shape, 3), 90, np.uint8)
    detections = trained[0].predict(raw, verbose=0)
    assert detections["num_detections"].shape == shape[:1]
    limit = np.array([shape[1], shape[2]] * 2)
    assert (detections["detection_boxes"] <= limit).all()
    padding = np.arange(10) >= detections["num_detections"][:, None]
    assert not detections["detection_masks"][padding].any() and not detections["detection_classes"][padding].any()


def test_predict_images_of_different_sizes_equals_one_by_one(trained, tmp_path):
    model = trained[0]
    random = np.random.default_rng(1)
    images = [random.integers(0, 255, shape, np.uint8) for shape in ((60, 90, 3), (120, 50, 3), (60, 90, 3))]
    path = tmp_path / "image.png"
    keras.utils.save_img(path, images[1], scale=False)
    results = mrcnn.predict_images(model, [images[0], path, images[2]])
    for image, result in zip(images, results, strict=True):
        single = model.predict(image[None], verbose=0)
        count = single["num_detections"][0]
        assert len(result["detection_scores"]) == count
        np.testing.assert_allclose(result["detection_boxes"], single["detection_boxes"][0][:count], atol=1e-3)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("a.png", "images is 'a.png'; allowed: a list of paths"),
        (pathlib.Path("a.png"), "allowed: a list of paths"),
        (b"a.png", "images is bytes; allowed"),
        (None, "images is NoneType; allowed"),
        (np.zeros((4, 4, 3), np.uint8), "images is ndarray; allowed"),
        ([b"a.png"], r"images\[0\] is \|S5 \[\]; allowed: a path"),
        ([np.zeros((4, 4, 3), np.float32)], r"images\[0\] is float32 \[4, 4, 3\]; allowed: .* levels 0 to 255"),
        ([[[1, 2], [3]]], r"images\[0\] is list; allowed: a path, or uint8"),
        ([np.zeros((4, 4), np.uint8)], r"images\[0\] is uint8 \[4, 4\]"),
        ([np.zeros((4, 4, 4), np.uint8)], r"images\[0\] is uint8 \[4, 4, 4\]"),
    ],
)
def test_predict_images_names_what_came(trained, images, message):
    with pytest.raises(ValueError, match=message):
        mrcnn.predict_images(trained[0], images)


@pytest.mark.parametrize("when", ["before", "after"])
def test_saved_file_gives_identical_outputs(trained, tmp_path, when):
    model = trained[0] if when == "after" else tiny_model()
    batch = trained[1]
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.config == model.config
    assert len(loaded.weights) == len(model.weights) > 50
    assert_same_detections(model(batch), loaded(batch), 0, 0, 0)
    if when == "after":
        loaded.run_eagerly = True  # for one step, tracing takes ten times as long
        loaded.fit(dataset(batch), verbose=0)  # compiled with its optimizer
        assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations) + 1


STRIPS = [pytest.param(shape, marks=pytest.mark.slow) for shape in ((53, 40001), (1, 2**21))]  # a minute in the graph


@pytest.mark.parametrize("shape", [(1500, 1999), (2500, 877), *STRIPS])
@pytest.mark.parametrize("rounding", ["nearest", "floor"])
def test_large_images_are_shrunk_to_the_same_pixels(rounding, shape):
    """Pillow's resize and the graph's are one, and the graph leaves what was shrunk as it is."""
    config = tiny_config()
    config.preprocess.size_rounding = rounding
    model = mrcnn.MaskRCNN(config)
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    shrunk = preprocessing.shrunk(image, config.preprocess)
    assert shrunk.shape != image.shape and max(shrunk.shape) <= 128
    for ours, graphs in zip(model.preprocess(shrunk[None]), model.preprocess(image[None]), strict=True):
        np.testing.assert_array_equal(ours, graphs)


def test_boxes_of_large_images_are_in_their_pixels(monkeypatch):
    model = finding_model()
    scene = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))
    image = np.asarray(scene.resize((2000, 1500), Image.Resampling.BICUBIC))
    (ours,) = mrcnn.predict_images(model, [image])
    monkeypatch.setattr(prediction, "shrunk", lambda image, preprocess: image)
    (graphs,) = mrcnn.predict_images(model, [image])
    assert len(ours["detection_boxes"]) > 0
    for name, values in ours.items():
        np.testing.assert_allclose(values, graphs[name], atol=1e-2, err_msg=name)


def test_from_config_refuses_unknown_keys():
    values = tiny_model().get_config()
    values["config"]["rpn"]["samplse"] = 3
    with pytest.raises(ValueError, match=r"config.model.rpn has no key 'samplse'; known: .*samples"):
        mrcnn.MaskRCNN.from_config(values)


def test_config_survives_json():
    config = mrcnn.load_config("mask_rcnn_r50_fpn")
    import json

    values = json.loads(json.dumps(configuration.to_dict(config)))
    assert configuration.from_dict(configuration.Config, values) == config


def test_summary_names_every_stage(capsys):
    tiny_model().summary(line_length=100)
    text = capsys.readouterr().out
    for name in ("backbone", "pyramid", "rpn_head", "box_head", "mask_head", "Trainable params"):
        assert name in text
    assert "?" not in text


def test_stages_have_the_shapes_that_they_say():
    model = tiny_model()
    body = model.backbone(tf.zeros([1, 96, 160, 3]))
    assert {k: tuple(v.shape) for k, v in body.items()} == model.backbone.compute_output_shape((1, 96, 160, 3))
    shapes = {name: tuple(feature.shape) for name, feature in body.items()}
    pyramid = model.pyramid(body)
    assert {k: tuple(v.shape) for k, v in pyramid.items()} == model.pyramid.compute_output_shape(shapes)
    outputs = model.rpn_head(pyramid["P3"])
    assert tuple(tuple(x.shape) for x in outputs) == model.rpn_head.compute_output_shape(tuple(pyramid["P3"].shape))
    outputs = model.box_head(tf.zeros([5, 7, 7, 16]))
    assert tuple(tuple(x.shape) for x in outputs) == model.box_head.compute_output_shape((5, 7, 7, 16))
    masks = model.mask_head(tf.zeros([5, 14, 14, 16]), tf.ones([5], tf.int32))
    assert tuple(masks.shape) == model.mask_head.compute_output_shape((5, 14, 14, 16))


def test_boxes_arrive_unrounded_under_mixed_bfloat16(monkeypatch):
    """1001.3 is 1000 in bfloat16: every function that takes boxes must still see 1001.3."""
    from mask_rcnn_tf.models import targets
    from mask_rcnn_tf.models.pooler import RoiAlign

    seen = {}

    def spy(module, name, pick):
        original = getattr(module, name)

        def wrapper(*args, **kwargs):
            seen[name] = pick(*args)
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, wrapper)

    spy(targets, "rpn_targets", lambda anchors, gt_boxes, *_: gt_boxes)
    spy(targets, "sample_rois", lambda proposals, counts, batch, *_: batch["gt_boxes"])
    spy(targets, "mask_targets", lambda batch, *_: batch["gt_boxes"])
    spy(RoiAlign, "pool", lambda operator, prepared, rois, *_: rois)
    model = tiny_model(dtype="mixed_bfloat16")
    batch = tiny_batch(1, size=1024)
    boxes = batch["gt_boxes"].numpy()
    boxes[0, 0] = 900.7, 901.3, 1001.3, 1002.9
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    model.train_on_batch(batch | {"gt_boxes": tf.constant(boxes)})
    for name in ("rpn_targets", "sample_rois", "mask_targets"):
        np.testing.assert_array_equal(seen[name][0, 0], boxes[0, 0], err_msg=name)
    assert (seen["pool"].numpy() == boxes[0, 0]).all(-1).any()  # the gt box is among the RoIs
    detections = model.predict(batch, verbose=0)
    assert detections["detection_boxes"].dtype == np.float32


def test_bfloat16_is_used_inside_and_trains():
    model = tiny_model(dtype="mixed_bfloat16")
    features = model.extract_features(tf.zeros([1, 64, 64, 3]))
    assert {feature.dtype for feature in features.values()} == {tf.bfloat16}
    assert {w.dtype for w in model.weights} == {"float32"}
    model.compile(keras.optimizers.Adam(3e-3))
    # ten steps are too few: RoIs are sampled anew in each, and the order of a sum decides which way bfloat16 rounds
    history = model.fit(dataset(tiny_batch(1, 64)).repeat(), steps_per_epoch=10, epochs=4, verbose=0).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]


def test_images_without_objects_train():
    model = tiny_model()
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    logs = model.train_on_batch(tiny_batch(2, objects=[0, 0]), return_dict=True)
    assert logs["mask"] == 0 and logs["box_delta"] == 0 and logs["rpn_box"] == 0
    assert all(np.isfinite(w.numpy()).all() for w in model.weights)


def test_frozen_norm_over_random_weights_is_an_error():
    model = tiny_model(norm="frozen_batch_norm")
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    with pytest.raises(ValueError, match="'frozen_batch_norm' and no pretrained weights"):
        model.fit(dataset(tiny_batch()), verbose=0)
    model.backbone.stem.norm.moving_mean.assign(np.full(8, 0.1))
    model.fit(dataset(tiny_batch()), verbose=0)
    assert model.predict(dataset(tiny_batch()), verbose=0)["num_detections"].shape == (2,)


def test_frozen_stages_and_frozen_norms_stay(trained):
    config = tiny_config()
    config.backbone.frozen_stages = 2
    model = mrcnn.MaskRCNN(config)
    before = {w.path: w.numpy() for w in model.backbone.weights}
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    model.fit(dataset(tiny_batch()), verbose=0)
    moved = {w.path for w in model.backbone.weights if not np.array_equal(before[w.path], w.numpy())}
    assert not any("stem" in path or "c2_0" in path for path in moved)
    assert any("c3_0" in path for path in moved)


@pytest.mark.parametrize(
    "batch, message",
    [
        ({"gt_boxes": None}, r"the batch lacks gt_boxes"),
        ({"gt_masks": None}, r"the batch lacks gt_masks.*mask_head.enabled=False"),
    ],
)
def test_unlabelled_batches_are_refused_in_training(batch, message):
    model = tiny_model()
    model.compile(keras.optimizers.SGD(0.01))
    data = {name: value for name, value in tiny_batch().items() if name not in batch}
    with pytest.raises(ValueError, match=message):
        model.fit(dataset(data), verbose=0)


def test_wrong_images_are_refused(trained):
    with pytest.raises(ValueError, match="images are .*float32.*allowed: uint8"):
        trained[0](tf.zeros([1, 64, 64, 3]))
    for channels in (1, 4):  # grey was taken for three channels, RGBA ended in an error of the graph
        with pytest.raises(ValueError, match=rf"images are .*uint8.*64, {channels}\).*allowed: uint8 \[B, h, w, 3\]"):
            trained[0](tf.zeros([1, 64, 64, channels], tf.uint8))
    with pytest.raises(ValueError, match=r"images\[0\] is float64"):
        mrcnn.predict_images(trained[0], [np.zeros((10, 10, 3))])
    with pytest.raises(ValueError, match=r"images\[1\] is 'no_such_file.png'"):
        mrcnn.predict_images(trained[0], [np.zeros((10, 10, 3), np.uint8), "no_such_file.png"])


def test_a_model_without_masks():
    config = tiny_config()
    config.mask_head.enabled = False
    model = mrcnn.MaskRCNN(config)
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    data = {name: value for name, value in tiny_batch().items() if name != "gt_masks"}
    assert "mask" not in model.train_on_batch(data, return_dict=True)
    assert "detection_masks" not in model.predict(dataset(data), verbose=0)


def test_sampling_depends_on_step_and_image_but_not_on_the_place_in_the_batch():
    model = tiny_model(norm="group_norm")
    batch = tiny_batch(2)
    swapped = {name: value[::-1] for name, value in batch.items()}
    losses = [
        float(model.compute_losses(b, tf.constant(s, tf.int64), True)["box_class"])
        for b, s in ((batch, 0), (swapped, 0), (batch, 1))
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert abs(losses[0] - losses[2]) > 1e-6
