"""Records messages of TF Serving's two APIs, for tests/deploy/test_clients.py. Run from the repository's root:

    PYTHONPATH=.:tests:tests/deploy python tests/golden/serving/record.py

The server's binary was not to be had. A SavedModel of `tests/tiny.finding_model` was run by a session, as the server
runs it, on two drawn scenes of different sizes in one request and on a file that is no image, and its outputs were put
into the messages of the documentation (tests/deploy/stand_in_server.py). outputs.npz holds the outputs themselves.
Made with TensorFlow 2.21 and tensorflow-serving-api 2.21.
"""

import gzip
import json
import pathlib
import tempfile

import numpy as np
import stand_in_server
import tensorflow as tf
from tensorflow_serving.apis import model_pb2
from tiny import finding_model

from mask_rcnn_tf.export.check_images import drawn_scenes
from mask_rcnn_tf.export.to_saved_model import saved_model

HERE = pathlib.Path(__file__).parent
model = finding_model()
with tempfile.TemporaryDirectory() as folder:
    saved_model(model, folder + "/1")
    served = stand_in_server.Model(folder + "/1")
scenes = drawn_scenes(model.config, 2)
outputs = served.run("serving_bytes", {"image_bytes": np.array([tf.io.encode_png(s).numpy() for s in scenes], object)})
try:
    served.run("serving_bytes", {"image_bytes": np.array([b"not an image"], object)})
except tf.errors.InvalidArgumentError as refusal:
    (HERE / "rest_error.json").write_text(json.dumps({"error": refusal.message}))
spec = model_pb2.ModelSpec(name="mask_rcnn", signature_name="serving_bytes")
spec.version.value = 1
np.savez_compressed(HERE / "outputs.npz", **outputs)
body = json.dumps(stand_in_server.rest_response(outputs)).encode()
(HERE / "rest_reply.json.gz").write_bytes(gzip.compress(body, mtime=0))
response = stand_in_server.predict_response(spec, outputs).SerializeToString(deterministic=True)
(HERE / "grpc_reply.pb.gz").write_bytes(gzip.compress(response, mtime=0))
