"""A head, a backbone and a RoI operator that the package does not know: all that a model does, it does with them."""

import keras
import numpy as np
import tensorflow as tf
from tiny import finding_config, finding_model, tiny_batch

from mask_rcnn_tf.benchmark.inference import benchmark_inference
from mask_rcnn_tf.models import heads, pooler, stages, steps


@keras.saving.register_keras_serializable("tests")
class TwoLevels(keras.layers.Layer):
    spec = {"fine": (8, 16), "coarse": (16, 16)}

    def build(self, shape):
        self.fine, self.coarse = (keras.layers.Conv2D(16, side, side, activation="relu") for side in (8, 2))
        self.fine.build(shape)
        self.coarse.build((None, None, None, 16))

    def call(self, image, training=False):
        return {"fine": self.fine(image), "coarse": self.coarse(self.fine(image))}


@keras.saving.register_keras_serializable("tests")
class CentrePixel(pooler.RoiOperator):
    def prepare(self, features, strides):
        return [tf.cast(level, tf.float32) for level in features], tf.constant(strides, tf.float32)

    def pool(self, prepared, rois, batch_indices, level_indices, size):
        pooled = []
        for level, stride in zip(prepared[0], tf.unstack(prepared[1]), strict=True):
            pixel = tf.minimum(tf.cast((rois[:, :2] + rois[:, 2:]) / 2 / stride, tf.int32), tf.shape(level)[1:3] - 1)
            pooled.append(tf.gather_nd(level, tf.concat([batch_indices[:, None], pixel], 1)))
        return tf.tile(tf.where((level_indices == 0)[:, None], *pooled)[:, None, None], [1, size, size, 1])


@keras.saving.register_keras_serializable("tests")
class MeanColour(heads.base.RoiHead):
    loss_names, pool_size = ("colour",), 3

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 3), initializer="ones", name="kernel")

    def loss_sums(self, batch, sampled, pool, config, training):
        rows, pooled = pool(sampled["rois"], sampled["roi_valid"], self.pool_size)
        crops = tf.image.crop_and_resize(batch["image"], rows.flatten(sampled["rois"]) / 95, rows.batch_indices, [7, 7])
        errors = tf.abs(pooled[:, 1, 1] @ self.kernel - tf.reduce_mean(crops, [1, 2]))
        return {"colour": (tf.reduce_sum(errors), tf.cast(tf.size(errors), tf.float32))}

    def steps(self, config, pooler):
        def colour(tensors):
            rows = pooler.rows(tensors["detection_scores"] > 0)
            pooled = pooler.pool(tensors["roi_features"], tensors["detection_boxes"], rows, self.pool_size)
            return {"colours": rows.restore(pooled[:, 1, 1] @ self.kernel)}

        return [steps.Step("colour", colour)]

    def output_specs(self, config):
        return {"colours": tf.TensorSpec([config.detection.max_detections, 3], tf.float32)}


def test_everything_works_with_parts_of_ones_own(tmp_path):
    config, image = finding_config(), np.random.default_rng(0).integers(0, 256, (1, 96, 120, 3)).astype(np.uint8)
    config.rpn.levels = config.roi.levels = ("fine", "coarse")
    config.anchors.sizes, config.roi.canonical_size = ((32.0,), (64.0,)), 64.0
    with_colour = [*stages.make_heads(config), MeanColour(name="colour_head")]
    model = finding_model(config=config, backbone=TwoLevels(), heads=with_colour, roi_operator=CentrePixel())
    model.compile(keras.optimizers.SGD(1e-4))
    assert model.train_on_batch(tiny_batch(), return_dict=True)["colour"] > 0 and np.any(model.colour_head.kernel != 1)
    found = model.predict(image, verbose=0)
    assert found["num_detections"][0] > 0 and np.abs(found["colours"][0, 0]).max() > 0
    model.save(tmp_path / "own.keras")
    loaded = keras.models.load_model(tmp_path / "own.keras").predict(image, verbose=0)
    assert loaded.keys() == found.keys() and all(np.array_equal(loaded[name], found[name]) for name in found)
    model.export(tmp_path / "own")
    served = tf.saved_model.load(tmp_path / "own").signatures["serving_default"](images=tf.constant(image))
    np.testing.assert_allclose(served["colours"], found["colours"], atol=1e-4)
    model.export(tmp_path / "own.onnx", format="onnx")
    assert "colour" in [line["stage"] for line in benchmark_inference(model, image, 1)]
