"""The warm-up file read by TF Serving's own messages is in tests/deploy; here its bytes, without that package."""

import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tiny import tiny_config

from mask_rcnn_tf.export.warm_up import FILE, write_warm_up

# Part of tensorflow_serving/apis: message -> its fields (name, number, type, whether repeated).
MESSAGES = {
    "ModelSpec": [("signature_name", 3, "", False)],
    "Input": [("key", 1, "", False), ("value", 2, "bytes", False)],
    "PredictRequest": [("model_spec", 1, "ModelSpec", False), ("inputs", 2, "Input", True)],
    "PredictLog": [("request", 1, "PredictRequest", False)],
    "PredictionLog": [("predict_log", 6, "PredictLog", False)],
}


def prediction_log_class():
    file = descriptor_pb2.FileDescriptorProto(name="warm_up_test.proto", package="warm_up_test", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    for message, fields in MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            added = described.field.add(name=name, number=number, label=label)
            added.type = {"": field.TYPE_STRING, "bytes": field.TYPE_BYTES}.get(kind, field.TYPE_MESSAGE)
            if added.type == field.TYPE_MESSAGE:
                added.type_name = f".warm_up_test.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("warm_up_test.PredictionLog"))


def test_requests_to_both_signatures(tmp_path):
    config = tiny_config()
    write_warm_up(config, tmp_path / "assets.extra")
    read = {}
    for record in tf.data.TFRecordDataset(str(tmp_path / "assets.extra" / FILE)).as_numpy_iterator():
        request = prediction_log_class().FromString(record).predict_log.request
        (tensor,) = request.inputs
        read[request.model_spec.signature_name] = (tensor.key, tensor.value)
    assert list(read) == ["serving_default", "serving_bytes"]
    name, tensor = read["serving_default"]
    assert name == "images"
    assert tf.io.parse_tensor(tensor, tf.uint8).shape == (1, 96, 128, 3)
    name, tensor = read["serving_bytes"]
    assert name == "image_bytes"
    (content,) = tf.io.parse_tensor(tensor, tf.string)
    assert tf.io.decode_image(content).shape == (96, 128, 3)
