"""Arguments of another kind on the public face end in one line that names them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf import evaluation, export
from mask_rcnn_tf.data import pipeline
from mask_rcnn_tf.export import canvas, check_images, output
from mask_rcnn_tf.models.heads.box import BoxHead
from mask_rcnn_tf.training import fit
from mask_rcnn_tf.weights import loading

IMAGE = np.zeros((4, 4, 3), np.uint8)
CONFIG = mrcnn.load_config("mask_rcnn_shapes")
DATASET, TRUTH = tf.data.Dataset.range(1), {"images": [], "annotations": [], "categories": []}
OTHER = keras.Sequential()  # a Keras model that is none of ours


def augmented(**fields):
    return mrcnn.make_predictor(mrcnn.MaskRCNN.__new__(mrcnn.MaskRCNN), mrcnn.AugmentationConfig(**fields))


WRONG = {
    "predict_images": (lambda: mrcnn.predict_images(None, [IMAGE]), "model is a NoneType; allowed: a MaskRCNN"),
    "predict_images of another model": (lambda: mrcnn.predict_images(OTHER, [IMAGE]), "model is a Sequential; allowed"),
    "make_predictor": (lambda: mrcnn.make_predictor(CONFIG), "model is a Config; allowed: a MaskRCNN"),
    "short sides": (lambda: augmented(short_sides=64), r"config.eval.augmentation.short_sides is 64; allowed"),
    "no pixels": (lambda: augmented(short_sides=(0,)), r"config.eval.augmentation.short_sides is \(0,\); allowed"),
    "flip": (
        lambda: augmented(short_sides=(64,), flip="yes"),
        "config.eval.augmentation.flip is 'yes'; allowed: True",
    ),
    "config": (lambda: mrcnn.MaskRCNN(CONFIG), "config is a Config; allowed: a ModelConfig"),
    "stages": (lambda: mrcnn.MaskRCNN(CONFIG.model, []), "stages is a list; allowed: Stages, or None"),
    "backbone": (
        lambda: mrcnn.MaskRCNN(CONFIG.model, backbone=OTHER),
        "backbone is a Sequential without `spec`",
    ),
    "heads": (lambda: mrcnn.MaskRCNN(CONFIG.model, heads=BoxHead(3)), "heads is a BoxHead; allowed: a list of RoiHead"),
    "head": (lambda: mrcnn.MaskRCNN(CONFIG.model, heads=[None]), r"heads\[0\] is a NoneType; allowed: a RoiHead"),
    "operator": (lambda: mrcnn.MaskRCNN(CONFIG.model, roi_operator=3), "roi_operator is a int; allowed: a RoiOperator"),
    "array": (lambda: mrcnn.load_config(IMAGE), "config is a ndarray; allowed: the name of a preset"),
    "load_weights": (lambda: loading.load_weights(OTHER, "m.keras"), "model is a Sequential; allowed: a MaskRCNN"),
    "source": (lambda: mrcnn.weights.import_checkpoint([], "a.pth"), r"source is \[\]; allowed: torchvision, "),
    "path": (
        lambda: mrcnn.weights.import_checkpoint("keras", None),
        "path is a NoneType; allowed: the path",
    ),
    "class names": (
        lambda: mrcnn.weights.import_checkpoint("keras", "a.h5", class_names="cat"),
        "class_names is a str; allowed: a list or tuple",
    ),
    "anchor sizes": (
        lambda: mrcnn.weights.import_checkpoint("keras", "a.h5", anchor_sizes=[32]),
        r"anchor_sizes\[0\] is a int; allowed: a list or tuple of sides",
    ),
    "epsilon": (
        lambda: mrcnn.weights.import_checkpoint("keras", "a.h5", norm_epsilon="1e-5"),
        "norm_epsilon is a str; allowed: a number, or None",
    ),
    "initialize": (lambda: mrcnn.weights.initialize(None, None), "model is a NoneType; allowed: a MaskRCNN"),
    "to_torchvision": (lambda: mrcnn.weights.to_torchvision(OTHER), "model is a Sequential; allowed: a MaskRCNN"),
    "save_torchvision": (lambda: mrcnn.weights.save_torchvision(None, "a"), "model is a NoneType; allowed: a MaskRCNN"),
    "saved_model": (lambda: export.saved_model(None, "a"), "model is a NoneType; allowed: a MaskRCNN"),
    "pipeline": (lambda: pipeline.train_dataset(CONFIG.model), "config is a ModelConfig; allowed: a Config"),
    "start_step": (lambda: pipeline.train_dataset(CONFIG, "3"), "start_step is a str; allowed: a whole number from 0"),
    "train": (lambda: fit.train("mask_rcnn_shapes", "run"), "config is a str; allowed: a Config"),
    "model_dir": (lambda: fit.train(CONFIG, None), "model_dir is a NoneType; allowed: the path of a folder"),
    "evaluate": (lambda: evaluation.evaluate(None, DATASET, TRUTH), "model is a NoneType; allowed: a MaskRCNN"),
    "CocoEvaluation": (lambda: mrcnn.CocoEvaluation([], TRUTH), "dataset is a list; allowed: a tf.data.Dataset"),
    "every": (lambda: mrcnn.CocoEvaluation(DATASET, TRUTH, every=1.5), "every is a float; allowed: a whole number"),
    "output": (lambda: mrcnn.CocoEvaluation(DATASET, TRUTH, output=3), "output is a int; allowed: a path, or None"),
    "predictor": (
        lambda: mrcnn.CocoEvaluation(DATASET, TRUTH, make_predictor=3),
        "make_predictor is a int; allowed",
    ),
    "sigmas": (lambda: evaluation.score(TRUTH, [], sigmas=3), "sigmas is a int; allowed: a list or tuple of numbers"),
    "result": (lambda: evaluation.score(TRUTH, [IMAGE]), "result 0: result is not a table: it is array"),
    "max_dets": (lambda: evaluation.score(TRUTH, [], max_dets=IMAGE), "max_dets is array.*; allowed: ascending whole"),
    "to_results": (lambda: evaluation.to_results(None, 1, (4, 4), ()), "detections is a NoneType; allowed: the arrays"),
    "write_json": (lambda: evaluation.write_json([], None), "path is a NoneType; allowed: a path"),
    "format_table": (lambda: evaluation.format_table(None), "metrics is a NoneType; allowed: the tables of `score`"),
    "val_images": (lambda: pipeline.val_images("mask_rcnn_shapes"), "config is a str; allowed: a Config"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_line_names_the_argument(name):
    call, message = WRONG[name]
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 1


def test_values_of_many_lines_are_shown_in_one():
    config = mrcnn.load_config("mask_rcnn_shapes").model
    config.kernels = np.zeros((9, 9))
    with pytest.raises(ValueError, match="^config.model.kernels is array.*; allowed: .*$"):
        mrcnn.MaskRCNN(config)


@pytest.mark.parametrize(
    "images, message",
    [
        (3, "images is a int; allowed: a list of arrays uint8"),
        (IMAGE, "images is a ndarray; allowed: a list"),
        ([], r"images is \[\]; allowed: one or more, or None"),
        (["a.png"], r"images\[0\] is a str; allowed: an array uint8"),
        ([IMAGE, IMAGE[0]], r"images\[1\] is uint8 \[4, 3\]; allowed"),
        ([IMAGE / 255], r"images\[0\] is float64 \[4, 4, 3\]; allowed"),
    ],
)
def test_images_of_exports_are_known_before_the_conversion(images, message):
    with pytest.raises(export.ExportError, match=message):
        check_images.images_to_compare(CONFIG.model, images)


@pytest.mark.parametrize("path, message", [(None, "output is a NoneType"), ("m", "output is 'm.*ends in .onnx")])
def test_places_of_exports(path, message):
    with pytest.raises(export.ExportError, match=message), output.written_whole(path, ".onnx"):
        pass
    with pytest.raises(export.ExportError, match="canvas is a int; allowed: .H, W."):
        canvas.check_canvas(CONFIG.model, 3)
