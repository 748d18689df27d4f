"""The whole model against torchvision and Detectron2, stage by stage, from the same weights and images.

Tolerances: those of docs/design.md (boxes 1e-2 px, scores 1e-4, mask probabilities 1e-3); where `golden/README.md`
gives the references' own float32 error, at most about twice that.
"""

import numpy as np
import pytest
import tensorflow as tf
from recipe_models import SWAP, fill, golden_config, golden_scene, prepared

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.models.inference import anchors_of, output_names
from mask_rcnn_tf.models.roi_rows import RoiRows
from mask_rcnn_tf.ops import images as image_ops
from mask_rcnn_tf.ops.kernels import get_kernels
from mask_rcnn_tf.ops.masks import paste_mask
from mask_rcnn_tf.ops.roi_regions import assign_levels

SCENES = {
    "maskA": ([("sceneA", 320, 416)], (320, 416)),
    "maskB": ([("sceneB", 480, 640)], (480, 640)),
    "maskC": ([("sceneC6", 375, 500), ("sceneD6", 400, 300)], (448, 448)),
    "d2A": ([("sceneA", 320, 416)], (320, 416)),
}
BOX, SCORE, PROBABILITY, FEATURE = 1e-2, 1e-4, 1e-3, 2e-5
KERNELS = [
    pytest.param(("maskA", "native"), id="maskA"),
    pytest.param(("maskB", "native"), id="maskB"),
    pytest.param(("maskC", "native"), id="maskC"),
    pytest.param(("maskA", "xla"), id="maskA-xla"),
    pytest.param(("maskC", "xla"), id="maskC-xla", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def layers():
    """The recipe's weights: the cases differ in what is done with them."""
    return fill(mrcnn.MaskRCNN(golden_config("maskA"))).stages


def golden_model(layers, name, kernels="native"):
    config = golden_config(name)
    config.kernels = kernels
    return mrcnn.MaskRCNN(config, layers)


def run(model, image, image_shape):
    """Every intermediate result the goldens hold."""

    def stages(image, image_shape):
        tensors = model.trace(image, image_shape)
        counts, levels = tensors["num_proposals"], model.config.rpn.levels
        valid = tf.range(tf.shape(tensors["proposals"])[1])[None] < counts[:, None]
        rows = RoiRows(valid, get_kernels(model.config.kernels).static)
        return {
            "body": model.backbone(image),
            "fpn": {name: tensors[name] for name in levels},
            "rpn": {name: (tensors[f"objectness_{name}"], tensors[f"deltas_{name}"]) for name in levels},
            "anchors": tf.concat(anchors_of(model.config, model.stages, image), 0),
            "proposals": tensors["proposals"],
            "counts": counts,
            "class_logits": rows.restore(tensors["class_logits"]),
            "box_deltas": rows.restore(tensors["box_deltas"]),
            "pooled": tensors["box_pooled"],
            "detections": {name: tensors[name] for name in output_names(model.config, model.stages)},
        }

    compiled = tf.function(stages, jit_compile=model.config.kernels == "xla", autograph=False)
    return tf.nest.map_structure(lambda x: x.numpy(), compiled(image, image_shape))


@pytest.fixture(scope="module", params=KERNELS)
def case(request, golden, layers):
    name, kernels = request.param
    model = golden_model(layers, name, kernels)
    scenes = [golden_scene(*scene) for scene in SCENES[name][0]]
    image, image_shape = prepared(model, scenes, SCENES[name][1])
    result = run(model, image, image_shape)
    return {**result, "name": name, "golden": golden(f"golden_{name}"), "image": image.numpy(), "scenes": scenes} | {
        "image_shape": image_shape.numpy(),
        "model": model,
    }


def nchw(array):
    return np.transpose(array, (0, 3, 1, 2))


def the_slice(case, prefix, array):
    """Our NCHW array cut like the golden one, and the golden one."""
    key = next(key for key in case["golden"].files if key.startswith(f"{prefix}/slice"))
    spatial = int(key.rsplit("_s", 1)[1])
    channels = int(key.rsplit("_c", 1)[1].split("_")[0]) if "_c" in key else 1
    return array[:, ::channels, ::spatial, ::spatial], case["golden"][key]


def order_of(case, b):
    """Index of our proposal for each golden one: the same set, for maskB in another order among equal scores."""
    theirs = case["golden"][f"rpn/proposals/{b}"][:, SWAP]
    ours = case["proposals"][b]
    distance = np.abs(theirs[:, None] - ours[None]).max(-1)
    nearest = distance.argmin(1)
    assert len(set(nearest)) == len(theirs) == case["counts"][b]
    assert distance.min(1).max() < BOX
    return nearest


def test_input(case):
    ours, theirs = the_slice(case, "input/batched", nchw(case["image"]))
    np.testing.assert_array_equal(case["image_shape"], case["golden"]["input/image_sizes"])
    np.testing.assert_allclose(ours, theirs, atol=5e-5)  # a hundredth of a grey level


@pytest.mark.parametrize("level", ["C2", "C3", "C4", "C5", "P2", "P3", "P4", "P5", "P6"])
def test_features(case, level):
    part = "body" if level.startswith("C") else "fpn"
    array = nchw(case[part][level])
    ours, theirs = the_slice(case, f"{part}/{level}", array)
    stats = case["golden"][f"{part}/{level}/stats"]
    assert array.shape == tuple(case["golden"][f"{part}/{level}/shape"])
    np.testing.assert_allclose(ours, theirs, atol=FEATURE * np.abs(stats[2:4]).max())
    np.testing.assert_allclose(np.sqrt(np.square(array, dtype=np.float64).sum()), stats[5], rtol=1e-5)


@pytest.mark.parametrize("level", ["P2", "P3", "P4", "P5", "P6"])
def test_rpn_head(case, level):
    logits, deltas = case["rpn"][level]
    batch, _, height, width = case["golden"][f"fpn/{level}/shape"]
    logits = logits.reshape(batch, height, width, 3).transpose(0, 3, 1, 2)
    deltas = deltas.reshape(batch, height, width, 3, 4)[..., SWAP].reshape(batch, height, width, 12)
    for name, ours in (("objectness", logits), ("deltas", nchw(deltas))):
        ours, theirs = the_slice(case, f"rpn/{level}/{name}", ours)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_anchors_and_proposals(case):
    np.testing.assert_allclose(case["anchors"][::97][:, SWAP], case["golden"]["rpn/anchors/slice_97"], atol=1e-4)
    for b in range(len(case["scenes"])):
        order = order_of(case, b)
        if case["name"] != "maskB":
            np.testing.assert_array_equal(order, np.arange(len(order)))


def test_box_head(case):
    golden = case["golden"]
    count = len(golden["rpn/proposals/0"])
    levels = assign_levels(case["proposals"], 224.0, 4, min_level=2, max_level=5, rule="torchvision").numpy()
    step = int(next(key for key in golden.files if key.startswith("box/pooled/slice")).split("_r")[1].split("_")[0])
    pooled = nchw(case["pooled"])
    for b in range(len(case["scenes"])):
        order, rows = order_of(case, b), slice(b * count, (b + 1) * count)
        np.testing.assert_array_equal(levels[b][order], golden["box/levels"][rows])
        picked = pooled[b * count + order][:, ::64][::step]
        theirs = golden[f"box/pooled/slice_r{step}_c64"][b * count // step : (b + 1) * count // step]
        # docs/design.md: 2e-4 x max|feature|; the boxes themselves differ by up to 1e-3 px.
        np.testing.assert_allclose(picked, theirs, atol=2e-4 * np.abs(case["fpn"]["P2"]).max())
        np.testing.assert_allclose(case["class_logits"][b][order], golden["box/class_logits"][rows], atol=1e-3)
        theirs = golden["box/box_regression"][rows].reshape(count, -1, 4)[:, 1:, SWAP]
        np.testing.assert_allclose(case["box_deltas"][b][order], theirs, atol=1e-3)


def test_detections(case):
    golden, detections = case["golden"], case["detections"]
    for b, scene in enumerate(case["scenes"]):
        count = len(golden[f"final/{b}/labels"])
        assert detections["num_detections"][b] == count
        np.testing.assert_array_equal(detections["detection_classes"][b][:count], golden[f"final/{b}/labels"])
        np.testing.assert_allclose(detections["detection_scores"][b][:count], golden[f"final/{b}/scores"], atol=SCORE)
        ours = detections["detection_boxes"][b][:count]
        np.testing.assert_allclose(ours[:, SWAP], golden[f"det_net/{b}/boxes"], atol=BOX)
        np.testing.assert_allclose(to_original(case, b)[:count][:, SWAP], golden[f"final/{b}/boxes"], atol=BOX)
        assert scene["image"].shape[:2] == tuple(golden[f"final/{b}/masks_shape"][-2:])


def to_original(case, b):
    shape = case["image_shape"][b : b + 1]
    original = np.array([case["scenes"][b]["image"].shape[:2]], np.int32)
    return image_ops.boxes_to_original(case["detections"]["detection_boxes"][b : b + 1], shape, original)[0].numpy()


def test_masks(case):
    golden = case["golden"]
    for b, scene in enumerate(case["scenes"]):
        count = len(golden[f"final/{b}/labels"])
        probabilities = case["detections"]["detection_masks"][b][:count]
        np.testing.assert_allclose(probabilities, golden[f"final/{b}/mask_probs28"], atol=PROBABILITY)
        height, width = scene["image"].shape[:2]
        theirs = np.unpackbits(golden[f"final/{b}/masks_gt05_packbits"], axis=-1, count=width).astype(bool)
        check_pasted(probabilities, to_original(case, b)[:count], theirs, (height, width), "integer")


def check_pasted(probabilities, boxes, theirs, shape, paste):
    """Every pasted mask is the reference's to a few pixels; IoU 0.98 where the box is cut at an integer."""
    for probability, box, mask in zip(probabilities, boxes, theirs, strict=True):
        crop, (top, left) = paste_mask(probability, box, shape, paste)
        ours = np.zeros(shape, bool)
        chosen = crop > 0.5 if paste == "integer" else crop >= 0.5
        ours[top : top + crop.shape[0], left : left + crop.shape[1]] = chosen
        union = (ours | mask).sum()
        wrong = (ours ^ mask).sum()
        assert wrong <= 2 or wrong <= (0.02 if near_integer(probability, box, paste) else 0.005) * union


def near_integer(probability, box, paste):
    if paste != "integer":
        return False
    centre = (box[:2] + box[2:]) / 2
    half = (box[2:] - box[:2]) / 2 * (probability.shape[0] + 2) / probability.shape[0]
    edges = np.concatenate([centre - half, centre + half])
    return np.abs(edges - edges.round()).min() < BOX


def test_detectron2(golden, layers):
    """Aligned adaptive RoIAlign, unrounded anchors, logit ranking, continuous paste."""
    model, golden = golden_model(layers, "d2A"), golden("golden_d2A")
    scene = golden_scene("sceneA", 320, 416)
    result = run(model, *prepared(model, [scene], (320, 416)))
    np.testing.assert_allclose(result["anchors"][-105:][:, SWAP], golden["rpn/anchors/P6"], atol=1e-4)
    np.testing.assert_allclose(result["proposals"][0][:, SWAP], golden["rpn/proposals"], atol=BOX)
    pooled = nchw(result["pooled"])[:, ::64]
    np.testing.assert_allclose(pooled, golden["box/pooled_slice_c64"], atol=2e-4 * np.abs(result["fpn"]["P2"]).max())
    background_last = np.roll(result["class_logits"][0], -1, axis=1)
    np.testing.assert_allclose(background_last, golden["box/class_logits_bg_last"], atol=1e-3)
    theirs = golden["box/box_regression"].reshape(150, 6, 4)[..., SWAP]
    np.testing.assert_allclose(result["box_deltas"][0], theirs, atol=1e-3)
    detections = {name: value[0] for name, value in result["detections"].items()}
    np.testing.assert_array_equal(detections["detection_classes"] - 1, golden["final/classes0"])
    np.testing.assert_allclose(detections["detection_scores"], golden["final/scores"], atol=SCORE)
    np.testing.assert_allclose(detections["detection_boxes"][:, SWAP], golden["final/boxes"], atol=BOX)
    np.testing.assert_allclose(detections["detection_masks"], golden["final/mask_probs28"], atol=PROBABILITY)
    theirs = np.unpackbits(golden["final/masks_packbits"], axis=-1, count=416).astype(bool)
    check_pasted(detections["detection_masks"], detections["detection_boxes"], theirs, (320, 416), "continuous")
