"""ONNX files in ONNX Runtime, against the Keras model."""

import json
import math
import sys

import numpy as np
import pytest
import tensorflow as tf
from in_threads import assert_threads_get_the_results_of_one
from recipe_models import fill, golden_config, golden_scene
from tiny import finding_model, tiny_model

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.config import to_dict
from mask_rcnn_tf.evaluation.image_files import find_images, read_image
from mask_rcnn_tf.export import signatures
from mask_rcnn_tf.export.canvas import image_dtype, place_on_canvas
from mask_rcnn_tf.export.check_images import drawn_scenes
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.labels import label_map
from mask_rcnn_tf.export.runners.keras_model import KerasRunner
from mask_rcnn_tf.export.runners.onnx import OnnxRunner
from mask_rcnn_tf.export.to_onnx import convert, onnx
from mask_rcnn_tf.export.verification import compare_strictly, find

onnx_package = pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")
onnxruntime = pytest.importorskip("onnxruntime")

CANVAS = (96, 128)
TOLERANCE = {"detection_boxes": 1e-2, "detection_scores": 1e-4, "detection_masks": 1e-3}  # docs/design.md
# What TensorRT 10's ONNX parser takes as layers of TensorRT (onnx-tensorrt 10.1, docs/operators.md), of what we need.
# NonMaxSuppression becomes its NMS layer, RoiAlign the plugin ROIAlign_TRT that comes with it.
TENSORRT = set(
    "Add And Cast Concat ConstantOfShape Conv DepthToSpace Div Einsum Equal Exp Expand Floor Gather GatherND Greater "
    "GreaterOrEqual Identity Less LessOrEqual MatMul Max MaxPool Min Mul Neg Not Pad Range ReduceMax ReduceSum Relu "
    "Reshape Resize ScatterND Shape Sigmoid Slice Softmax Split Sqrt Squeeze Sub Sum Tile TopK Transpose Unsqueeze "
    "Where NonMaxSuppression RoiAlign".split()
)


@pytest.fixture(scope="module")
def model():
    return finding_model(score_threshold=0.5)


@pytest.fixture(scope="module")
def any_size(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "new" / "model.onnx"
    onnx(model, path)
    return path


@pytest.fixture(scope="module")
def on_canvas(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "canvas.onnx"
    onnx(model, path, drawn_scenes(model.config, 2), CANVAS)
    return path


def assert_same(found, expected, least=1):
    """Outputs of a whole batch, padding included."""
    expected = {name: value.numpy() for name, value in expected.items()}
    assert set(found) == set(expected) and expected["num_detections"].min() >= least
    for name, theirs in expected.items():
        assert found[name].shape == theirs.shape and found[name].dtype == theirs.dtype
        np.testing.assert_allclose(found[name], theirs, rtol=0, atol=TOLERANCE.get(name, 0), err_msg=name)


def batch_of(image, size):
    """Images of one size that differ."""
    return np.stack([np.roll(image, 11 * shift, axis=1) for shift in range(size)])


def test_batches_and_sizes(model, any_size):
    """Batches of 1, 2 and 5, one size after the other in the same session: as it is, enlarged and shrunk."""
    runner = OnnxRunner(any_size)
    scenes = drawn_scenes(model.config, 3)
    large = np.repeat(np.repeat(scenes[1], 3, 0), 2, 1)
    for image, size in ((scenes[0], 1), (scenes[1], 2), (scenes[2], 5), (large, 2), (scenes[0][::2, ::2], 1)):
        batch = batch_of(image, size)
        assert_same(runner.run({"images": batch}), signatures.detect_images(model, tf.constant(batch)))


def test_batches_on_a_canvas(model, on_canvas):
    runner = OnnxRunner(on_canvas)
    assert runner.canvas == CANVAS
    scenes = drawn_scenes(model.config, 4)
    for size in (1, 2, 5):
        images = (scenes * 2)[:size]
        placed, shapes = zip(*(place_on_canvas(model.config, image, CANVAS) for image in images), strict=True)
        inputs = {
            "image": np.stack(placed),
            "image_shape": np.stack(shapes),
            "original_shape": np.array([image.shape[:2] for image in images], np.int32),
        }
        expected = signatures.detect_canvas(model, *(tf.constant(value) for value in inputs.values()))
        assert_same(runner.run(inputs), expected)


def test_runner_finds_what_the_model_finds(model, any_size, on_canvas):
    images = drawn_scenes(model.config, 2)
    for path, canvas in ((any_size, None), (on_canvas, CANVAS)):
        found = compare_strictly(
            find(OnnxRunner(path), model.config, images, "continuous"),
            find(KerasRunner(model, canvas), model.config, images, "continuous"),
            model.config,
            "continuous",
        )
        assert found.matched > 5 and not found.differences


def test_threads(model, any_size, on_canvas):
    for path in (any_size, on_canvas):
        assert_threads_get_the_results_of_one(OnnxRunner(path), drawn_scenes(model.config, 8))


def test_nothing_is_found(model, any_size, on_canvas):
    """Two images without a detection, then one beside another that has some: rows of padding are 0, never NaN."""
    grey = np.full((96, 96, 3), 128, np.uint8)
    scene = drawn_scenes(model.config, 1)[0]
    sizes = np.full((2, 2), 96, np.int32)
    for images in (np.stack([grey, grey]), np.stack([grey, scene])):
        canvas = np.pad(images, [[0, 0], [0, 0], [0, 32], [0, 0]]).astype(image_dtype(model.config).as_numpy_dtype)
        inputs = {"image": canvas, "image_shape": sizes, "original_shape": sizes}
        for outputs in (OnnxRunner(any_size).run({"images": images}), OnnxRunner(on_canvas).run(inputs)):
            counts = outputs["num_detections"].tolist()
            assert counts[0] == 0 and (counts[1] > 0) == (images[1] != grey).any()
            for value in outputs.values():
                assert not value[0].any()


def nodes(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx_package.AttributeProto.GRAPH:
                yield from nodes(attribute.g)


def test_operators_are_real_and_standard(any_size, on_canvas):
    for path in (any_size, on_canvas):
        proto = onnx_package.load(path)
        onnx_package.checker.check_model(proto, full_check=True)
        found = [node.op_type for node in nodes(proto.graph)]
        assert not {node.domain for node in nodes(proto.graph)} - {""}
        assert found.count("NonMaxSuppression") == 2  # all levels of the RPN at once, and all classes
        assert found.count("RoiAlign") == 8  # four levels for boxes, four for masks
        assert {item.domain: item.version for item in proto.opset_import}[""] == 16


def test_tensorrt_takes_the_operators_on_a_canvas(on_canvas):
    proto = onnx_package.load(on_canvas)
    assert not {node.op_type for node in nodes(proto.graph)} - TENSORRT
    inferred = onnx_package.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    types = {value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    constants = {tensor.name: onnx_package.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    assert np.float64 not in {value.dtype for value in constants.values()}
    assert onnx_package.TensorProto.DOUBLE not in types
    for node in nodes(proto.graph):
        if node.op_type == "TopK":  # TensorRT's limit is 3840
            assert constants[node.input[1]].item() < 3840
        if node.op_type == "Resize":  # the rule that TensorRT has longest
            rule = {item.name: item.s for item in node.attribute}
            assert rule["mode"] == b"nearest" and rule["nearest_mode"] == b"floor"
            assert rule["coordinate_transformation_mode"] == b"asymmetric"
        if "image" in node.input:
            assert node.op_type in ("Cast", "Shape")  # TensorRT has uint8 in inputs alone


def test_maps_of_rois_are_not_turned_around(any_size, on_canvas):
    """From what has channels first, RoIAlign and a convolution, to the products behind them there is no Transpose."""
    for path in (any_size, on_canvas):
        graph = onnx_package.load(path).graph
        makes = {name: node for node in graph.node for name in node.output}
        for head, place, source in (("box_head_1/fc0_1/", 0, "RoiAlign"), ("mask_head_1/", 1, "Conv")):
            (product,) = (node for node in graph.node if node.op_type == "MatMul" and f"{head}MatMul" in node.name)
            node, passed = makes[product.input[place]], []
            while node.op_type != source:
                passed.append(node.op_type)
                node = makes[node.input[0]]
            assert "Reshape" in passed and "Transpose" not in passed


def test_metadata_and_names(model, any_size, on_canvas):
    for path, canvas in ((any_size, None), (on_canvas, list(CANVAS))):
        proto = onnx_package.load(path)
        metadata = {item.key: json.loads(item.value) for item in proto.metadata_props}
        assert metadata["config"] == json.loads(json.dumps(to_dict(model.config)))
        assert metadata["labels"] == label_map(model.config) and metadata["canvas"] == canvas
        assert "[y1, x1, y2, x2]" in proto.doc_string
        axes = {
            value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in (*proto.graph.input, *proto.graph.output)
        }
        rows = model.config.detection.max_detections
        assert axes["detection_masks"] == ["batch", rows, 28, 28] and axes["num_detections"] == ["batch"]
        if canvas is None:
            assert axes["images"] == ["batch", "height", "width", 3]
        else:
            assert axes["image"] == ["batch", *CANVAS, 3]
            assert axes["image_shape"] == axes["original_shape"] == ["batch", 2]
        assert len(axes) == 5 + (1 if canvas is None else 3)


@pytest.mark.parametrize("canvas", [(100, 128), (0, 32), (96,)])
def test_wrong_canvas(model, tmp_path, canvas):
    with pytest.raises(ExportError, match="canvas is .*multiples of 32"):
        onnx(model, tmp_path / "m.onnx", canvas=canvas)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["tf2onnx", "onnxruntime"])
def test_missing_package(model, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExportError, match=rf"{package}.*pip install mask_rcnn_tf\[export\]"):
        onnx(model, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_no_class_names(tmp_path):
    with pytest.raises(ExportError, match="class_names"):
        onnx(tiny_model(), tmp_path / "m.onnx")


def test_files_of_something_else_are_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("text")
    with pytest.raises(ExportError, match="does not load"):
        OnnxRunner(tmp_path / "text.onnx")
    value = onnx_package.helper.make_tensor_value_info("x", onnx_package.TensorProto.FLOAT, [1])
    other = onnx_package.helper.make_tensor_value_info("y", onnx_package.TensorProto.FLOAT, [1])
    graph = onnx_package.helper.make_graph([onnx_package.helper.make_node("Relu", ["x"], ["y"])], "g", [value], [other])
    opset = onnx_package.helper.make_opsetid("", 16)
    onnx_package.save(
        onnx_package.helper.make_model(graph, opset_imports=[opset], ir_version=8), tmp_path / "other.onnx"
    )
    with pytest.raises(ExportError, match="metadata has no canvas, config"):
        OnnxRunner(tmp_path / "other.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("case, canvas", [("maskA", None), ("d2A", None), ("d2A", (320, 448))])
def test_r50_fpn(case, canvas, tmp_path, shared_data):
    """Recipe weights in torchvision's and Detectron2's settings, the latter with adaptive sampling, on photos too."""
    config = golden_config(case)
    config.class_names = tuple("abcdef")
    model = fill(mrcnn.MaskRCNN(config))
    photos = [read_image(file.path) for file in find_images(str(shared_data / "coco_small" / "val" / "images"))[:3]]
    scene = golden_scene("sceneA", 320, 416)["image"]
    onnx(model, tmp_path / "m.onnx", [scene, *photos], canvas)
    runner = OnnxRunner(tmp_path / "m.onnx")
    if canvas is None:
        for size in (1, 2, 5):
            batch = batch_of(scene, size)
            assert_same(runner.run({"images": batch}), signatures.detect_images(model, tf.constant(batch)))


@pytest.mark.slow
def test_comparison_of_nothing_is_refused(tmp_path):
    with pytest.raises(ExportError, match="finds nothing"):
        onnx(finding_model(score_threshold=1.0), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_gelu_is_that_of_float64():
    """Keras's GELU, of ConvNeXt, holds an operation that tf2onnx does not know."""
    proto = convert(tf.function(lambda x: {"y": tf.nn.gelu(x)}), [tf.TensorSpec([None], tf.float32, "x")])
    x = np.linspace(-8, 8, 1001, dtype=np.float32)
    (found,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    expected = [0.5 * value * math.erfc(-value / math.sqrt(2)) for value in x.tolist()]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_grouped_and_strided_convolutions_stay_whole(tmp_path):
    model = finding_model()
    config = mrcnn.ModelConfig(**vars(model.config))
    config.backbone.block, config.backbone.groups, config.backbone.width_per_group = "bottleneck", 4, 32
    config.backbone.stage_channels = (16, 16, 16, 16)
    grouped = mrcnn.MaskRCNN(config)
    onnx(grouped, tmp_path / "m.onnx")
    attributes = [
        {item.name: item for item in node.attribute}
        for node in nodes(onnx_package.load(tmp_path / "m.onnx").graph)
        if node.op_type == "Conv"
    ]
    assert [of_node["group"].i for of_node in attributes].count(4) == 4
    pointwise = [of_node for of_node in attributes if [1, 1] == of_node["kernel_shape"].ints]
    # Three stages halve their inputs, in the shortcut and in the block's first convolution.
    assert [list(of_node["strides"].ints) for of_node in pointwise].count([2, 2]) == 6


def test_an_einsum_has_no_unsqueeze_of_no_axes():
    """The mask head's product; OpenVINO takes such a node's output for a tensor of any rank, and refuses the file."""
    specs = [tf.TensorSpec([None, 3, 4, 5], tf.float32, "maps"), tf.TensorSpec([None, 5], tf.float32, "kernel")]
    proto = convert(tf.function(lambda maps, kernel: tf.einsum("nhwc,nc->nhw", maps, kernel), autograph=False), specs)
    empty = {tensor.name for tensor in proto.graph.initializer if list(tensor.dims) == [0]}
    assert not [node.name for node in nodes(proto.graph) if empty & set(node.input)]
    random = np.random.default_rng(0)
    maps, kernel = random.normal(size=(2, 3, 4, 5)), random.normal(size=(2, 5))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"maps": maps.astype(np.float32), "kernel": kernel.astype(np.float32)})
    np.testing.assert_allclose(found, np.einsum("nhwc,nc->nhw", maps, kernel), atol=1e-5)
