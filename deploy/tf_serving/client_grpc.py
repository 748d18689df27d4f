"""Detects objects in image files through TensorFlow Serving's gRPC API.

    pip install tensorflow-cpu grpcio && pip install --no-deps tensorflow-serving-api
    python client_grpc.py --labels mask_rcnn/1/assets/labels.json street.jpg

Source: tensorflow_serving/apis/prediction_service.proto and predict.proto.
"""

import functools
import sys

from detections import RequestRefused, ServingError, first_line, parser, run, split

try:
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
except ImportError as missing:
    sys.exit(
        f"client_grpc: package {missing.name} is missing; allowed: `pip install tensorflow-cpu grpcio && pip install "
        "--no-deps tensorflow-serving-api`, or client_rest.py, which needs none."
    )

SERVER = "localhost:8500"


def request_message(contents: list[bytes], model: str, label: str | None) -> predict_pb2.PredictRequest:
    """The request that sends image files to `serving_bytes`."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, "serving_bytes"
    if label:
        request.model_spec.version_label = label
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(contents, tf.string, [len(contents)]))
    return request


def parse_reply(reply: predict_pb2.PredictResponse) -> list[dict]:
    """The reply's detections, image by image; see `detections.split`."""
    return split({name: tf.make_ndarray(value) for name, value in reply.outputs.items()})


@functools.lru_cache
def connect(server: str) -> prediction_service_pb2_grpc.PredictionServiceStub:
    """The service at "host:port"; threads share a connection."""
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]  # 4 MB otherwise
    return prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(server, unlimited))


def predict(contents: list[bytes], server: str, model: str, label: str | None, timeout: float) -> list[dict]:
    """Detections of image files.

    Args:
      contents: of the files; one that is not an image refuses all.
      server: e.g. "localhost:8500".
      model: its name in models.config.
      label: of a version, or None: the newest.
      timeout: seconds.

    Returns:
      See `detections.split`; values are arrays.

    Raises:
      RequestRefused: an image does not decode, with the server's message.
      ServingError: no server, no such model, or no answer in time.
    """
    try:
        return parse_reply(connect(server).Predict(request_message(contents, model, label), timeout))
    except grpc.RpcError as error:
        message = first_line(error.details())
        if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
            raise RequestRefused(message) from None
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            raise ServingError(f"no answer from {server} within {timeout:g} s: {message}") from None
        raise ServingError(f"{server} answers {error.code().name}: {message}") from None


if __name__ == "__main__":
    sys.exit(run(predict, parser(__doc__.split("\n")[0], SERVER).parse_args()))
