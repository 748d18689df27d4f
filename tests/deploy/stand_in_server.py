"""A stand-in for TensorFlow Serving's binary: the same two APIs, by Python's own servers, over one SavedModel.

It loads and runs the model as the binary does, by a session, so that messages are the same. What it does not have:
versions and labels, batching, warm-up, monitoring. Its error codes and JSON follow the documentation.

Source: https://www.tensorflow.org/tfx/serving/api_rest; tensorflow_serving/util/json_tensor.cc.
"""

import base64
import concurrent.futures
import contextlib
import http.server
import json
import re
import threading

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

NAME = "mask_rcnn"


class Model:
    """A SavedModel in a session."""

    def __init__(self, path):
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        self.signatures = tf.compat.v1.saved_model.load(self.session, ["serve"], str(path)).signature_def

    def run(self, signature, inputs):
        """Outputs {name: array} of inputs {name: array}; raises InvalidArgumentError as the graph does."""
        definition = self.signatures[signature]
        fetches = {name: info.name for name, info in definition.outputs.items()}
        feeds = {definition.inputs[name].name: value for name, value in inputs.items()}
        try:
            return self.session.run(fetches, feeds)
        except tf.errors.InvalidArgumentError as error:  # Python puts a line before the graph's own words
            message = error.message.removeprefix("Graph execution error:\n\n")
            raise tf.errors.InvalidArgumentError(error.node_def, error.op, message) from None


def not_found(name):
    """What the server says of a model that it does not serve."""
    return f"Servable not found for request: Latest({name})"


class GrpcService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """The gRPC API."""

    def __init__(self, model):
        self.model = model

    def Predict(self, request, context):
        spec = request.model_spec
        if spec.name != NAME:
            context.abort(grpc.StatusCode.NOT_FOUND, not_found(spec.name))
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        try:
            outputs = self.model.run(spec.signature_name, inputs)
        except tf.errors.InvalidArgumentError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        return predict_response(spec, outputs)


def predict_response(spec, outputs):
    """The gRPC reply with these outputs."""
    response = predict_pb2.PredictResponse(model_spec=spec)
    for name, value in outputs.items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    return response


class RestHandler(http.server.BaseHTTPRequestHandler):
    """The REST API."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name = re.fullmatch("/v1/models/([^/:]+):predict", self.path)[1]
        if name != NAME:
            self.answer(404, {"error": not_found(name)})
            return
        request = json.loads(body)
        inputs = {name: decode_bytes(value) for name, value in request["inputs"].items()}
        try:
            outputs = self.server.model.run(request["signature_name"], inputs)
        except tf.errors.InvalidArgumentError as error:
            self.answer(400, {"error": error.message})
        else:
            self.answer(200, rest_response(outputs))

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def rest_response(outputs):
    """The REST reply with these outputs, for a request in column format."""
    return {"outputs": {name: value.tolist() for name, value in outputs.items()}}


def decode_bytes(value):
    """A list of {"b64": ...} as an array of bytes."""
    return np.array([base64.b64decode(part["b64"]) for part in value], object)


@contextlib.contextmanager
def serve(path):
    """Serves a SavedModel on two free ports; gives {"rest": "http://...", "grpc": "host:port"} and the `Model`."""
    model = Model(path)
    rest = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RestHandler)
    rest.model = model
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    service = grpc.server(concurrent.futures.ThreadPoolExecutor(4), options=unlimited)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(GrpcService(model), service)
    port = service.add_insecure_port("127.0.0.1:0")
    service.start()
    try:
        yield {"rest": f"http://127.0.0.1:{rest.server_port}", "grpc": f"127.0.0.1:{port}"}, model
    finally:
        service.stop(0).wait()
        rest.shutdown()
        rest.server_close()
