"""Our contestants: `python benchmarks/cpu/ours.py WHAT ...`, asked by `run.py`."""

import functools
import pathlib
import sys
import tempfile

import numpy as np
import tensorflow as tf

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

import drawn_folder  # noqa: E402
from answering import run_one, serve  # noqa: E402
from drawn_masks import drawn_masks  # noqa: E402
from drawn_results import drawn_results  # noqa: E402
from ours_model import build, make_batch, make_config  # noqa: E402
from scenes import make_scenes  # noqa: E402

import mask_rcnn_tf as mrcnn  # noqa: E402
from mask_rcnn_tf.benchmark import work  # noqa: E402
from mask_rcnn_tf.benchmark.scenes import labelled_batch, random_images, spread_predictions  # noqa: E402
from mask_rcnn_tf.coco.results import to_results  # noqa: E402
from mask_rcnn_tf.data.pipeline import train_dataset  # noqa: E402
from mask_rcnn_tf.evaluation import coco_metrics  # noqa: E402
from mask_rcnn_tf.evaluation.callback import predict_results  # noqa: E402
from mask_rcnn_tf.evaluation.judges import JUDGES  # noqa: E402
from mask_rcnn_tf.export.onnx_int8 import quantize_model  # noqa: E402
from mask_rcnn_tf.export.to_onnx import convert_model  # noqa: E402
from mask_rcnn_tf.ops.masks import paste_bitmap  # noqa: E402
from mask_rcnn_tf.presets import load_config  # noqa: E402
from mask_rcnn_tf.training.schedule import make_optimizer  # noqa: E402


def arrays_of(tensors):
    """All of them, in NumPy: work that a device still does is waited for."""
    return {name: np.asarray(value) for name, value in tensors.items()}


def raw_images(args):
    """uint8 [B, H, W, 3]."""
    return make_scenes(args.batch, args.height, args.width)["images"]


def inference_gflop(args):
    """Of the network's convolutions and products, as many RoIs as there may be."""
    model, _ = build(make_config("float32", args.height, args.width, "xla", args.heads))
    image = tf.TensorSpec((args.batch, args.height, args.width, 3))
    function = tf.function(lambda image, shape: model({"image": image, "image_shape": shape}), autograph=False)
    return work.gflop(function.get_concrete_function(image, tf.TensorSpec((args.batch, 2), tf.int32)).graph)


def inference(args):
    """Images to masks of the whole image: a function of the model, and pasting. Keypoints come from the model."""
    model, _ = build(make_config(args.dtype, args.height, args.width, heads=args.heads))
    images, found, detection = raw_images(args), {}, model.config.detection
    detect = tf.function(model.predict_step, autograph=False)

    def call():
        arrays = arrays_of(detect(images))
        found["objects"] = arrays["num_detections"].tolist()
        for row, count in enumerate(found["objects"]) if "detection_masks" in arrays else ():
            whole = np.zeros((count, *images.shape[1:3]), np.uint8)
            for bitmap, mask, box in zip(
                whole, arrays["detection_masks"][row], arrays["detection_boxes"][row], strict=False
            ):
                crop, (y, x) = paste_bitmap(mask, box, bitmap.shape, detection.mask_threshold, detection.paste)
                bitmap[y : y + crop.shape[0], x : x + crop.shape[1]] = crop

    serve({"inference": call}, lambda: found | {"images": args.batch, "gflop": inference_gflop(args)})


def detections(args):
    """Images to detections, their masks as the network gives them: what an exported graph does."""
    model, _ = build(make_config(args.dtype, args.height, args.width))
    images, found = raw_images(args), {}
    detect = tf.function(model.predict_step, autograph=False)

    def call():
        found["objects"] = arrays_of(detect(images))["num_detections"].tolist()

    serve({"detections": call}, lambda: found | {"images": args.batch, "gflop": inference_gflop(args)})


def onnx_file(args):
    """Writes the same model as ONNX: float32, or int8 by the ranges of four other scenes. Random weights do not survive
    int8, so that nothing is compared here."""
    canvas = (args.height, args.width) if args.canvas else None
    model, _ = build(make_config("float32", args.height, args.width))
    proto = convert_model(model, canvas)
    if args.dtype == "int8":
        scenes = make_scenes(5, args.height, args.width)["images"][1:]
        proto = quantize_model(proto, model.config, canvas, scenes)
    pathlib.Path(args.file).write_bytes(proto.SerializeToString())


def reading(args):
    """Batches to train on, from JPEG files and polygons, by an iterator of its own each time: nothing is read ahead.

    Resized to 800 or 1333, flipped or not, masks in the frames of their boxes or of the canvas.
    """
    config = load_config("mask_rcnn_r50_fpn")
    config.model.num_classes, config.model.mask_head.mask_frame = drawn_folder.CLASSES, args.frame
    config.data.train_short_sides, config.train.batch_size = (800,), args.batch
    with tempfile.TemporaryDirectory() as folder:
        drawn_folder.write_folder(f"{folder}/drawn", args.images)
        config.data.data_dir = f"{folder}/prepared"
        config.data.train_images = f"{folder}/drawn/images"
        config.data.train_annotations = f"{folder}/drawn/annotations.json"
        data = train_dataset(config)

        def call():
            for _ in zip(range(args.images // args.batch), data, strict=False):
                pass

        serve({"reading": call}, {"images": args.images})


def ways(args):
    """Every public way to detections, beside a plain function; `predict_results` alone pastes masks."""
    config = make_config(args.dtype, args.height, args.width)
    model, _ = build(config)
    images = raw_images(args)
    detect = tf.function(model.predict_step, autograph=False)
    data = tf.data.Dataset.from_tensor_slices(images).batch(args.batch)
    batch = make_batch(model, make_scenes(args.batch, args.height, args.width))
    batch["original_shape"] = tf.tile([images.shape[1:3]], [args.batch, 1])
    labelled = tf.data.Dataset.from_tensors(batch)
    predict = mrcnn.make_predictor(model, batch_size=args.batch)
    losses = tf.function(model.test_step, autograph=False)
    ids = tuple(range(1, config.model.num_classes + 1))
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(
            model, folder, {"serving_default": detect.get_concrete_function(tf.TensorSpec(images.shape, tf.uint8))}
        )
        loaded = tf.saved_model.load(folder).signatures["serving_default"]
    calls = {
        "function": lambda: arrays_of(detect(images)),
        "predict_on_batch": lambda: model.predict_on_batch(images),
        "predict, array": lambda: model.predict(images, batch_size=args.batch, verbose=0),
        "predict, data set": lambda: model.predict(data, verbose=0),
        "predict_images": lambda: predict(list(images)),
        "predict_results": lambda: predict_results(model, labelled, ids, verbose=0),
        "SavedModel": lambda: arrays_of(loaded(tf.constant(images))),
        "losses, function": lambda: arrays_of(losses(batch)),
        "losses, evaluate": lambda: model.evaluate(labelled, verbose=0),
    }
    serve(calls, {"images": args.batch})


def training(args):
    """A training step on one batch."""
    config = make_config(args.dtype, args.height, args.width)
    model, _ = build(config)
    batch, losses = make_batch(model, make_scenes(args.batch, args.height, args.width)), {}
    step = tf.function(model.train_step, autograph=False)

    def call():
        losses.update({name: round(float(value), 4) for name, value in step(batch).items()})

    serve({"step": call}, lambda: {"images": args.batch, "losses": dict(losses)})


def growing(args):
    """Detections or a training step of a model with random weights, for one value of what grows, `args.axis`."""
    config = load_config("mask_rcnn_r50_fpn")
    config.model.num_classes = args.classes
    config.model.preprocess.short_side, config.model.preprocess.max_side = sorted((args.height, args.width))
    config.train.learning_rate = 1e-6
    model = mrcnn.MaskRCNN(config.model)
    images = tf.constant(random_images(args.batch, args.height, args.width))
    spread_predictions(model, *model.preprocess(images[:1]))
    if args.work == "detections":
        call = functools.partial(tf.function(model.predict_step, autograph=False), images)
    else:
        model.compile(optimizer=make_optimizer(config, model))
        batch = labelled_batch(model, args.batch, args.height, args.width, objects=args.objects)
        call = functools.partial(tf.function(model.train_step, autograph=False), batch)
    values = {
        "megapixels": args.height * args.width / 1e6,
        "images": args.batch,
        "objects": args.objects,
        "classes": args.classes,
    }
    about = {"work": args.work, "axis": args.axis, "value": values[args.axis]}
    serve({args.work: lambda: arrays_of(call())}, about)


def masks(args):
    """Masks of detections to COCO results, their run lengths from the crops."""
    probabilities, boxes = drawn_masks(args.objects, args.height, args.width)
    ones = np.ones(args.objects, np.int32)
    detections = {"detection_boxes": boxes, "detection_scores": ones.astype(np.float32), "detection_classes": ones}
    detections["detection_masks"] = probabilities
    serve({"masks": lambda: to_results(detections, 1, (args.height, args.width), [1])}, {"objects": args.objects}, 3)


def scoring(args):
    """Drawn results by each judge, and how far their figures are apart."""
    truth, results = drawn_results(args.images)
    tables = {}

    def scored_by(judge):
        return lambda: tables.update({judge: coco_metrics.score(truth, results, [args.kind], judge=judge)[args.kind]})

    def about():
        apart = max(abs(tables[JUDGES[1]][name] - value) for name, value in tables[JUDGES[0]].items())
        return {"images": args.images, "results": len(results), "figures_apart": apart}

    serve({judge: scored_by(judge) for judge in JUDGES}, about, 1)


def peak(args):
    """The convolution that detectors do most of: 3 x 3, 256 channels in and out, 200 x 304."""
    dtype = tf.bfloat16 if "bfloat16" in args.dtype else tf.float32
    random = np.random.default_rng(0)
    image = tf.constant(random.random((1, 200, 304, 256)), dtype)
    kernel = tf.constant(random.normal(size=(3, 3, 256, 256)), dtype)
    function = tf.function(lambda image: tf.nn.conv2d(image, kernel, 1, "SAME"), autograph=False)
    gflop = work.gflop(function.get_concrete_function(image).graph)
    serve({"convolution": lambda: function(image).numpy()}, {"gflop": gflop})


if __name__ == "__main__":
    options = {"dtype": "float32", "file": "", "canvas": 0, "images": 5000, "kind": "bbox", "frame": "box"}
    options |= {"work": "detections", "axis": "megapixels", "classes": 80, "heads": "masks"}
    all_work = (inference, detections, onnx_file, reading, ways, training, growing, masks, scoring, peak)
    run_one(all_work, __doc__, **options)
