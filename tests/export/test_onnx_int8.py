"""ONNX files with int8 networks: numbers by their definition, which layers, and a trained model's detections."""

import numpy as np
import pytest
import tensorflow as tf
from tiny import finding_model
from trained import SIDE, trained_model

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.export.agreement import agreement
from mask_rcnn_tf.export.check_images import drawn_scenes
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.onnx_int8 import PREDICTORS, WEIGHTED, quantize, quantize_model, quantized_nodes
from mask_rcnn_tf.export.runners.keras_model import KerasRunner
from mask_rcnn_tf.export.runners.onnx import OnnxRunner
from mask_rcnn_tf.export.to_onnx import convert, convert_model, onnx
from mask_rcnn_tf.export.verification import find
from mask_rcnn_tf.models.sublayers import sublayers

onnx_package = pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")
onnxruntime = pytest.importorskip("onnxruntime")
numpy_helper = onnx_package.numpy_helper


def steps_of(values, symmetric):
    """Scale, zero point and limits of 8 bits that hold the mean of the images' ranges, and 0."""
    low, high = (
        min(np.mean([value.min() for value in values]), 0),
        max(np.mean([value.max() for value in values]), 0),
    )
    if symmetric:
        return max(-low, high) / 127, 0, -127, 127
    return (high - low) / 255, round(-low / ((high - low) / 255)), 0, 255


def rounded(value, steps):
    scale, zero, least, most = steps
    return (np.clip(np.round(value / scale) + zero, least, most) - zero) * scale


@pytest.mark.parametrize("symmetric", [True, False])
def test_numbers_by_definition(symmetric):
    """A product, a bias and a ReLU in float64, with what is read and written rounded to 8 bits."""
    random = np.random.default_rng(3)
    kernel = random.normal(size=(6, 5)) * 10.0 ** np.arange(-2, 3)  # a scale a channel, or the small ones vanish
    bias = random.normal(size=5) * 10.0 ** np.arange(-2, 3)
    images = [random.normal(size=(1, 4, 4, 6)) * size for size in (1.0, 3.0)]

    def network(image):
        with tf.name_scope("layer_1"):
            products = tf.nn.conv2d(image, tf.constant(kernel[None, None], tf.float32), 1, "SAME")
            return {"out": tf.nn.relu(products + bias)}

    function = tf.function(network, autograph=False)
    proto = convert(function, [tf.TensorSpec([1, 4, 4, 6], tf.float32, "image")])
    made = quantize(proto, [{"image": image.astype(np.float32)} for image in images], symmetric)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": images[0].astype(np.float32)})

    weights = rounded(kernel, (np.abs(kernel).max(0) / 127, 0, -127, 127))
    written = steps_of([np.maximum(image @ kernel + bias, 0) for image in images], symmetric)
    expected = np.maximum(rounded(images[0], steps_of(images, symmetric)) @ weights + bias, 0)
    np.testing.assert_allclose(found, rounded(expected, written), atol=1.01 * written[0], rtol=0)
    assert np.mean(np.abs(found - rounded(expected, written)) < 0.01 * written[0]) > 0.9


def test_products_of_the_mask_head_itself_stay_float32():
    """Its predictor is no layer, but a convolution with its own weights, or an einsum."""
    random = np.random.default_rng(0)
    kernels = [random.normal(size=(1, 1, 6, 6)).astype(np.float32) for _ in range(3)]  # equal ones would become one

    def network(image):
        with tf.name_scope("mask_head_1"):
            with tf.name_scope("conv0_1"):
                image = tf.nn.relu(tf.nn.conv2d(image, kernels[0], 1, "SAME"))
            maps = tf.nn.conv2d(image, kernels[1], 1, "VALID")
            return {"maps": maps, "others": tf.einsum("nhwc,ck->nhwk", image, kernels[2][0, 0])}

    proto = convert(tf.function(network, autograph=False), [tf.TensorSpec([1, 4, 4, 6], tf.float32, "image")])
    assert sum(node.op_type in WEIGHTED for node in proto.graph.node) == 3
    products = {node.name for node in proto.graph.node if node.op_type in WEIGHTED}
    (taken,) = products & set(quantized_nodes(proto))
    assert "conv0_1" in taken


@pytest.fixture(scope="module")
def protos():
    """{form: (model with float32 networks, with int8 ones)} on scenes of a tiny model whose norms shift, as trained."""
    model, made = finding_model(score_threshold=0.5), {}
    random = np.random.default_rng(0)
    for variable in model.weights:
        if variable.path.endswith("beta"):  # or tf2onnx leaves biases out, and with them how it names their nodes
            variable.assign(random.normal(0, 0.05, variable.shape))
    for form, canvas in (("any size", None), ("canvas", (96, 128))):
        proto = convert_model(model, canvas)
        made[form] = proto, quantize_model(proto, model.config, canvas, drawn_scenes(model.config, 2))
    return made


@pytest.mark.parametrize("form", ["any size", "canvas"])
def test_networks_are_int8_and_the_rest_is_not(protos, form):
    """Every convolution and product with weights reads int8 but the predictors'; nothing else of the geometry does."""
    proto, made = protos[form]
    nodes = {output: node for node in made.graph.node for output in node.output}
    constants = {item.name: numpy_helper.to_array(item) for item in made.graph.initializer}
    predictors, others = [], []
    for node in made.graph.node:
        if node.op_type in ("Conv", "MatMul") and (node.input[1] in constants or node.input[1] in nodes):
            source = nodes.get(node.input[1])
            if node.input[1] in constants:
                predictors.append(node.input[1])
            elif source.op_type == "DequantizeLinear" and source.input[0] in constants:
                assert constants[source.input[0]].dtype == np.int8
                assert constants[source.input[1]].size > 1  # a scale a channel
                assert nodes[node.input[0]].op_type == "DequantizeLinear"
                others.append(node.name)
    layers = [PREDICTORS & {part.rpartition("_")[0] for part in name.split("/")} for name in predictors]
    assert all(len(names) == 1 for names in layers)
    assert set.union(*layers) == {"objectness", "deltas", "class_logits", "box_deltas"}
    before = [node for node in proto.graph.node if node.op_type in ("Conv", "MatMul")]
    weights = {item.name for item in proto.graph.initializer}
    assert len(predictors) + len(others) == sum(node.input[1] in weights for node in before)
    names = set(quantized_nodes(proto))
    taken = [node for node in proto.graph.node if node.name in names]
    assert {node.op_type for node in taken} == {"Conv", "MatMul", "Relu", "Add", "Pad", "MaxPool", "Resize"}
    assert any("/" not in node.name for node in taken if node.op_type == "Conv")
    assert not any("mask_rcnn_1/add" in name or name.startswith("add") for name in names)  # the geometry's


def test_zero_points(protos):
    """What TensorRT reads has no zero point but 0, and int8 alone."""
    _, made = protos["canvas"]
    constants = {item.name: numpy_helper.to_array(item) for item in made.graph.initializer}
    pairs = [node for node in made.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    zeros = [constants[node.input[2]] for node in pairs if constants[node.input[2]].dtype != np.int32]  # int32: biases
    assert len(zeros) > 50 and all(zero.dtype == np.int8 and not zero.any() for zero in zeros)
    _, made = protos["any size"]
    constants = {item.name: numpy_helper.to_array(item) for item in made.graph.initializer}
    kinds = {constants[node.input[2]].dtype for node in made.graph.node if node.op_type == "QuantizeLinear"}
    assert kinds == {np.dtype(np.uint8)}


@pytest.mark.parametrize("name", ["mask_rcnn_small", "mask_rcnn_r50_c4", "keypoint_rcnn_r50_fpn"])
def test_predictors_are_the_layers_that_stay_float32(name):
    """The names of `PREDICTORS` are those of the layers that a model with bfloat16 layers computes in float32."""
    config = mrcnn.load_config(name).model
    config.dtype = "mixed_bfloat16"
    config.mask_head.num_fcs = 2 if name == "mask_rcnn_small" else 0
    model = mrcnn.MaskRCNN(config)
    layers = [layer for _, layer in sublayers(model) if not list(sublayers(layer))[1:] and layer.weights]
    exact = {layer.name for layer in layers if layer.compute_dtype == "float32" and "norm" not in layer.name}
    assert exact <= PREDICTORS and {"objectness", "deltas", "class_logits", "box_deltas"} <= exact


def test_errors(tmp_path):
    model = finding_model()
    with pytest.raises(ExportError, match="quantization is 'float16'; allowed: 'none', 'int8'"):
        onnx(model, tmp_path / "a.onnx", quantization="float16")
    with pytest.raises(ExportError, match=r"calibration is \[\]; allowed: at least one image"):
        onnx(model, tmp_path / "a.onnx", quantization="int8", calibration=[])
    with pytest.raises(ExportError, match=r"calibration\[0\] is"):
        onnx(model, tmp_path / "a.onnx", quantization="int8", calibration=[np.zeros((8, 8), np.uint8)])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow  # a model is trained for a minute: rounding does not leave random weights alone
@pytest.mark.parametrize("canvas", [None, (96, 96)])
def test_trained_model(tmp_path, canvas):
    """Found on scenes that gave no range; written in less space; ranges do not die of an empty picture."""
    model = trained_model(tmp_path / "scenes")
    scenes = drawn_scenes(model.config, 24)
    empty = np.zeros((SIDE, SIDE, 3), np.uint8)
    onnx(model, tmp_path / "float.onnx", scenes[:4], canvas)
    onnx(model, tmp_path / "int8.onnx", scenes[:4], canvas, quantization="int8", calibration=[*scenes[:8], empty])
    sizes = [(tmp_path / name).stat().st_size for name in ("int8.onnx", "float.onnx")]
    assert sizes[0] < 0.6 * sizes[1]
    results = find(OnnxRunner(tmp_path / "int8.onnx"), model.config, scenes[8:], "continuous")
    reference = find(KerasRunner(model, canvas), model.config, scenes[8:], "continuous")
    assert agreement(results, reference) > 0.9
