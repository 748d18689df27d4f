import pytest
from tiny import tiny_config

from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.labels import label_map


def test_names_by_category_id_in_the_order_of_classes():
    config = tiny_config()
    config.class_names, config.category_ids = ("star", "ball", "box"), (90, 1, 7)
    assert list(label_map(config).items()) == [("90", "star"), ("1", "ball"), ("7", "box")]
    config.category_ids = ()
    assert list(label_map(config).items()) == [("1", "star"), ("2", "ball"), ("3", "box")]


def test_a_model_without_class_names_is_refused():
    with pytest.raises(ExportError, match=r"class_names is \(\) and num_classes is 3; allowed: a name for each class"):
        label_map(tiny_config())


@pytest.mark.parametrize("ids", [(0, 1, 2), (1, 2, 2**31), (-1, 1, 2)])
def test_ids_that_int32_outputs_cannot_tell_from_padding_or_hold(ids):
    config = tiny_config()
    config.class_names, config.category_ids = ("a", "b", "c"), ids
    with pytest.raises(ExportError, match="category_ids is .*; allowed in exports: 1 to"):
        label_map(config)
