"""Models with the recipe's weights in the settings of each golden file."""

import functools

import numpy as np
import pytest
import recipe
import tensorflow as tf

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.models import stages
from mask_rcnn_tf.weights.projects import torchvision

SWAP = [1, 0, 3, 2]  # x1, y1, x2, y2 <-> y1, x1, y2, x2
TOP_N = {  # case: before NMS a level, proposals, detections, short side, max side
    "maskA": (300, 150, 30, 320, 416),
    "maskB": (1000, 1000, 100, 480, 640),
    "maskC": (200, 100, 20, 320, 448),
    "d2A": (300, 150, 30, 320, 416),
    "kpA": (300, 150, 20, 320, 416),
}

LOSSES = {  # our names and torchvision's
    "rpn_objectness": "loss_objectness",
    "rpn_box": "loss_rpn_box_reg",
    "box_class": "loss_classifier",
    "box_delta": "loss_box_reg",
    "mask": "loss_mask",
    "keypoint": "loss_keypoint",
}


def golden_config(case):
    """The `ModelConfig` of a golden file (`golden/README.md` says how each was made)."""
    kind = "keypoint" if case == "kpA" else "mask"
    config = mrcnn.load_config(f"torchvision_{kind}_rcnn_r50_fpn").model
    config.num_classes = 1 if case == "kpA" else 6
    config.backbone.norm_epsilon = 1e-5
    before, after, detections, short, long = TOP_N[case]
    config.rpn.pre_nms_top_n_test, config.rpn.post_nms_top_n_test = before, after
    config.detection.max_detections = detections
    config.preprocess.short_side, config.preprocess.max_side = short, long
    if case == "d2A":
        detectron2 = mrcnn.ModelConfig()
        config.anchors, config.rpn.ranking, config.rpn.min_size = detectron2.anchors, "logit", 0.0
        config.roi, config.detection.min_size, config.detection.paste = detectron2.roi, 0.0, "continuous"
        config.roi.sampling_ratio = 0
    return config


@functools.lru_cache(maxsize=1)  # 180 MB each
def golden_model(case, kernels="native"):
    """A model with the recipe's weights."""
    config = golden_config(case)
    config.kernels = kernels
    return fill(mrcnn.MaskRCNN(config))


def training_model(kernels, sides=None, case="maskA"):
    """A model in the settings of the golden training files; `sides` are the short and the longest one of the images."""
    config = golden_config(case)
    if sides is not None:
        config.preprocess.short_side, config.preprocess.max_side = sides
    config.rpn.pre_nms_top_n_train, config.rpn.post_nms_top_n_train = 300, 150
    config.roi.samples, config.sampler, config.backbone.frozen_stages = 64, "evenly", 0
    config.kernels = kernels
    return fill(mrcnn.MaskRCNN(config))


def float64_training_model(kernels, sides=None, case="maskA"):
    """Layers in float64, which no configuration offers; geometry and losses are float32 as ever.

    Compared with torchvision's in float64: those of its float32 are 8e-4 off (a ReLU near zero opens or stays shut).
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "resolve_dtype", lambda dtype: "float64")
        return training_model(kernels, sides, case)


def losses_of(model, batch, compiled):
    """Losses by name, of one training batch; without gradients, which take twice as long as they do."""

    def step(batch):
        return model.compute_losses(batch, tf.zeros([], tf.int64), True)

    return tf.function(step, jit_compile=compiled, autograph=False)(batch)


def losses_and_gradients(model, batch, compiled):
    """Losses by name, and the gradients of their sum as torchvision has them, by torchvision's names."""

    def step(batch):
        with tf.GradientTape() as tape:
            losses = model.compute_losses(batch, tf.zeros([], tf.int64), True)
            total = tf.add_n(list(losses.values()))
        return losses, tape.gradient(total, model.trainable_variables)

    losses, gradients = tf.function(step, jit_compile=compiled, autograph=False)(batch)
    return losses, named_gradients(model, torchvision.all_entries(model), gradients)


def given_proposals(proposals):
    """What `select_proposals` returns, of another program's boxes [n, 4] (x1, y1, x2, y2) of each image."""
    return stacked([rows[:, SWAP].astype(np.float32) for rows in proposals]), tf.constant([len(p) for p in proposals])


def stacked(arrays, count=None):
    """Arrays as one, each padded with rows of zeros to `count`, or to the longest."""
    count = max(map(len, arrays)) if count is None else count
    return tf.constant(np.stack([np.pad(a, [(0, count - len(a)), *[(0, 0)] * (a.ndim - 1)]) for a in arrays]))


def named_gradients(model, entries, gradients):
    """{another program's name: the gradient as it has it, float64} of what trains."""
    pairs = zip(model.trainable_variables, gradients, strict=True)
    ours = {id(variable): tf.convert_to_tensor(gradient).numpy() for variable, gradient in pairs}
    named = {
        entry.sources[0].name: entry.to_theirs(ours[id(entry.variable)]).astype(np.float64)
        for entry in entries
        if id(entry.variable) in ours  # not the frozen norms
    }
    assert len(named) == len(ours)
    return named


def check_losses(losses, golden):
    for ours in losses:
        theirs = LOSSES[ours]
        np.testing.assert_allclose(losses[ours], golden[f"losses/{theirs}"], rtol=1e-4, err_msg=ours)


def fill(model):
    """Gives a model the recipe's weights, by torchvision's names."""
    for entry in torchvision.all_entries(model):
        (source,) = entry.sources
        entry.variable.assign(entry.to_ours(recipe.fill_array(source.name, source.shape)))
    return model


def golden_scene(key, height, width):
    """Image u8, boxes in our order, labels, masks."""
    scene = recipe.make_scene(key, height, width)
    scene["boxes"] = scene["boxes"][:, SWAP]
    return scene


def prepared(model, scenes, canvas):
    """`image` and `image_shape` of scenes, resized and padded into one canvas, by the model's own preprocessing."""
    images, shapes = [], []
    for scene in scenes:
        image, shape = model.preprocess(tf.constant(scene["image"][None]))
        height, width = image.shape[1:3]
        images.append(tf.pad(image, [[0, 0], [0, canvas[0] - height], [0, canvas[1] - width], [0, 0]]))
        shapes.append(shape)
    return tf.concat(images, 0), tf.concat(shapes, 0)
