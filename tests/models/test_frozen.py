"""Parts of a model that do not train, by name."""

import keras
import numpy as np
import pytest
from tiny import tiny_batch, tiny_config

import mask_rcnn_tf as mrcnn


def frozen_model(*names):
    keras.utils.set_random_seed(3)
    config = tiny_config()  # with batch norms that train
    config.frozen = names
    return mrcnn.MaskRCNN(config)


def test_frozen_parts_stay_as_they_are_and_the_others_train(tmp_path):
    model = frozen_model("backbone", "pyramid", "box_head")
    model.compile(keras.optimizers.SGD(0.01))
    before = {variable.path: variable.numpy().copy() for variable in model.weights}
    model.train_on_batch(tiny_batch())
    changed = {variable.path for variable in model.weights if not np.array_equal(before[variable.path], variable)}
    assert {path.split("/")[0] for path in changed} == {"rpn_head", "mask_head"}  # nor running statistics
    assert {variable.path.split("/")[0] for variable in model.trainable_variables} == {"rpn_head", "mask_head"}
    model.save(tmp_path / "frozen.keras")
    loaded = mrcnn.load_model(tmp_path / "frozen.keras")
    assert loaded.config.frozen == ("backbone", "pyramid", "box_head")
    assert {v.path for v in loaded.trainable_variables} == {v.path for v in model.trainable_variables}


def test_a_part_that_there_is_not():
    with pytest.raises(
        ValueError, match="config.model.frozen has 'keypoint_head', 'neck'; allowed: the model's parts, 'b"
    ):
        frozen_model("backbone", "keypoint_head", "neck")
