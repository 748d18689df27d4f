"""The clients against recorded messages, and against a stand-in for the server that runs a SavedModel."""

import base64
import gzip
import importlib
import io
import json
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from malformed_images import encode, pixels
from PIL import Image
from pycocotools import mask as coco_mask
from tiny import finding_model

pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed")
from tensorflow_serving.apis import predict_pb2

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.coco.results import to_results

RECORDED = pathlib.Path(__file__).parents[1] / "golden" / "serving"
SCRIPTS = pathlib.Path(__file__).parents[2] / "deploy" / "tf_serving"
NAMES = ("detection_boxes", "detection_classes", "detection_masks", "detection_scores")
RANDOM = np.random.default_rng(1)
CONTENTS = {
    "a.png": encode(pixels(RANDOM, 90, 120), "PNG"),
    "b.txt": b"not an image",
    "c.jpg": encode(pixels(RANDOM, 128, 100), "JPEG"),
}


@pytest.fixture(params=["rest", "grpc"])
def api(request):
    return request.param


@pytest.fixture
def client(api):
    return importlib.import_module(f"client_{api}")


@pytest.fixture
def files(tmp_path):
    """Two images of different sizes and formats, and between them a file that is none."""
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    return [tmp_path / name for name in CONTENTS]


def recorded_replies(client):
    if client.__name__ == "client_rest":
        return client.parse_reply(gzip.decompress((RECORDED / "rest_reply.json.gz").read_bytes()))
    content = gzip.decompress((RECORDED / "grpc_reply.pb.gz").read_bytes())
    return client.parse_reply(predict_pb2.PredictResponse.FromString(content))


def test_recorded_reply(client):
    with np.load(RECORDED / "outputs.npz") as outputs:
        expected = dict(outputs)
    images = recorded_replies(client)
    assert len(images) == len(expected["num_detections"]) == 2
    for index, image in enumerate(images):
        count = expected["num_detections"][index]
        assert count > 0 and set(image) == {*NAMES, "original_shape"}
        assert list(image["original_shape"]) == expected["original_shape"][index].tolist()
        for name in NAMES:
            np.testing.assert_array_equal(np.asarray(image[name], np.float32), expected[name][index][:count])


def test_recorded_error():
    import client_rest

    message = client_rest.error_message((RECORDED / "rest_error.json").read_bytes())
    assert message == "Unknown image file format. One of JPEG, JPEG XL, PNG, GIF, BMP, WebP required."


def test_requests_are_as_documented():
    import client_grpc
    import client_rest

    body = json.loads(client_rest.request_body([b"\xff\x00", b"b"]))
    files = body.pop("inputs")["image_bytes"]
    assert body == {"signature_name": "serving_bytes"}
    assert [base64.b64decode(file["b64"]) for file in files] == [b"\xff\x00", b"b"]
    assert client_rest.request_url("http://a:1/", "m", None) == "http://a:1/v1/models/m:predict"
    assert client_rest.request_url("http://a:1", "m", "canary") == "http://a:1/v1/models/m/labels/canary:predict"
    request = client_grpc.request_message([b"\xff\x00", b"b"], "m", "canary")
    assert tf.make_ndarray(request.inputs["image_bytes"]).tolist() == [b"\xff\x00", b"b"]
    spec = request.model_spec
    assert (spec.name, spec.signature_name, spec.version_label) == ("m", "serving_bytes", "canary")
    assert not client_grpc.request_message([], "m", None).model_spec.HasField("version_label")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"outputs": 3}', b'{"outputs": {}}', b"\xff"])
def test_answers_of_something_else(body):
    import client_rest

    with pytest.raises(client_rest.ServingError, match="the answer is not TensorFlow Serving's"):
        client_rest.parse_reply(body)
    assert isinstance(client_rest.error_message(body), str)


def test_predict_gives_what_the_model_finds(api, client, served, files):
    addresses, model = served
    contents = [files[0].read_bytes(), files[2].read_bytes()]
    found = client.predict(contents, addresses[api], "mask_rcnn", None, 60)
    outputs = model.run("serving_bytes", {"image_bytes": np.array(contents, object)})
    assert [list(image["original_shape"]) for image in found] == [[90, 120], [128, 100]]
    for index, image in enumerate(found):
        count = outputs["num_detections"][index]
        assert count > 0
        for name in NAMES:
            np.testing.assert_array_equal(np.asarray(image[name], np.float32), outputs[name][index][:count])


@pytest.fixture(scope="module")
def expected():
    """COCO results of the Keras model for `CONTENTS`, numbered from 1, and its configuration."""
    model, results = finding_model(), []
    config = model.config
    for number, content in enumerate(CONTENTS.values(), start=1):
        if content != b"not an image":
            image = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
            (found,) = mrcnn.predict_images(model, [image])
            rules = config.detection.mask_threshold, config.detection.paste
            results += to_results(found, number, image.shape[:2], config.category_ids, *rules)
    return results, config


def test_command_line(api, client, served, served_models, files, tmp_path, capsys, expected):
    import detections

    assets, output = served_models / "mask_rcnn" / "1" / "assets", tmp_path / "results.json"
    flags = ["--server", served[0][api], "--timeout", "60", "--labels", str(assets / "labels.json")]
    flags += ["--config", str(assets / "config.json"), "--output", str(output), *map(str, files)]
    parsed = detections.parser("", client.SERVER).parse_args(flags)
    assert detections.run(client.predict, parsed) == 1  # b.txt
    printed = capsys.readouterr()
    assert (
        printed.err == f"{files[1]}: Unknown image file format. One of JPEG, JPEG XL, PNG, GIF, BMP, WebP required.\n"
    )
    results = json.loads(output.read_text())
    expected, config = expected
    assert len(results) == len(expected) > 4
    for ours, theirs in zip(results, expected, strict=True):
        assert (ours["image_id"], ours["category_id"]) == (theirs["image_id"], theirs["category_id"])
        np.testing.assert_allclose(ours["bbox"], theirs["bbox"], atol=1e-2)
        assert abs(ours["score"] - theirs["score"]) < 1e-4
        assert coco_mask.iou([ours["segmentation"]], [theirs["segmentation"]], [0])[0, 0] > 0.98
        name = config.class_names[config.category_ids.index(ours["category_id"])]
        assert f"  {name:<20} {ours['score']:.3f}" in printed.out


def test_rest_client_needs_nothing_but_python(served, files):
    command = [sys.executable, "-S", "-E", str(SCRIPTS / "client_rest.py"), "--server", served[0]["rest"]]
    done = subprocess.run([*command, str(files[0])], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{files[0]}\n  ")


def test_absent_model(api, client, served, files):
    with pytest.raises(client.ServingError, match=r"Servable not found for request: Latest\(other\)") as error:
        client.predict([files[0].read_bytes()], served[0][api], "other", None, 60)
    assert not isinstance(error.value, client.RequestRefused) and "\n" not in str(error.value)


def test_absent_and_silent_server(api, client):
    scheme = "http://" if api == "rest" else ""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        address = f"{scheme}127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(client.ServingError, match=r"no answer from .* within 0\.3 s"):
            client.predict([b""], address, "mask_rcnn", None, 0.3)
    with pytest.raises(client.ServingError, match=r"no answer from .* within 5 s"):
        client.predict([b""], address, "mask_rcnn", None, 5)


def test_command_line_without_a_server(client, files, capsys):
    import detections

    address = "127.0.0.1:1" if client.__name__ == "client_grpc" else "http://127.0.0.1:1"
    parsed = detections.parser("", address).parse_args(["--timeout", "5", *map(str, files)])
    assert detections.run(client.predict, parsed) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and "no answer from" in printed.err and not printed.out


def test_warm_up_requests_are_answered(served, served_models):
    from tensorflow_serving.apis import prediction_log_pb2

    path = served_models / "mask_rcnn" / "1" / "assets.extra" / "tf_serving_warmup_requests"
    signatures = []
    for record in tf.data.TFRecordDataset(str(path)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        signatures.append(request.model_spec.signature_name)
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        assert served[1].run(signatures[-1], inputs)["num_detections"].shape == (1,)
    assert sorted(signatures) == ["serving_bytes", "serving_default"]
