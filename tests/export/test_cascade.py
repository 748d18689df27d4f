"""Exports of a cascade, whose box heads are three networks: every exporter compares its detections with the model's."""

import pytest
from ai_edge_litert.interpreter import Interpreter
from export_writers import WRITERS, two_images
from tiny import finding_config, finding_model

from mask_rcnn_tf.export import runners


@pytest.fixture(scope="module")
def model():
    config = finding_config()
    config.box_head.class_agnostic, config.box_head.cascade_ious = True, (0.6, 0.7)
    return finding_model(config=config)


NETWORKS = {"network", "box_head_1", "box_head_2", "box_head_3", "mask_head"}


@pytest.mark.slow  # test_every_preset.py has a SavedModel of one
@pytest.mark.parametrize("name", WRITERS)
def test_exports(model, tmp_path, name):
    images = two_images()
    WRITERS[name](model, tmp_path / name, images)
    if name == "heads.tflite":
        assert set(Interpreter(str(tmp_path / name)).get_signature_list()) == NETWORKS
    elif name != "program":  # the program runs where jax is
        assert len(runners.load(tmp_path / name).predict(images[:1])[0]["detection_boxes"])
