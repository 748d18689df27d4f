"""Categories of a file and classes of a model."""

import pytest

from mask_rcnn_tf.coco import categories
from mask_rcnn_tf.config import ModelConfig


def coco(names, used=()):
    rows = [{"id": key, "name": name} if name else {"id": key} for key, name in names.items()]
    annotations = [{"image_id": 1, "category_id": key} for key in used]
    return {"images": [], "annotations": annotations, "categories": rows}


def model(ids=(), names=(), count=0):
    return ModelConfig(num_classes=count or len(ids or names), category_ids=ids, class_names=names)


def test_a_root_category_is_left_out():
    table = coco({0: "cell", 1: "cell", 2: "leaf"}, used=[1, 2])
    assert categories.table(table) == ((1, 2), ("cell", "leaf"))
    assert list(categories.notes(table)) == [
        "left out: categories without annotations that are named like another: 0 'cell'"
    ]
    assert categories.table(coco({0: "cell", 1: "cell", 2: "leaf"}, used=[2]))[0] == (1, 2)  # both unused
    assert categories.table(coco({0: "cell", 1: "cell", 2: "leaf"}, used=[0, 1]))[0] == (0, 1, 2)  # a contradiction
    unused = coco({0: "root", 1: "cell"}, used=[1])
    assert categories.table(unused)[0] == (0, 1)
    assert list(categories.notes(unused)) == ["1 of 2 categories have no annotations: 0 'root'"]


def test_by_name():
    same = categories.match_model(model((5, 8), ("cat", "dog")), coco({5: "cat", 8: "dog"}))
    assert same.ids == (5, 8) and same.note == ""
    other = categories.match_model(model((5, 8), ("cat", "dog")), coco({8: "cat", 5: "dog"}))
    assert other.ids == (8, 5) and "'cat' 8 for 5, 'dog' 5 for 8" in other.note
    fewer = categories.match_model(model((5, 8, 9), ("cat", "dog", "cow")), coco({1: "dog"}))
    assert fewer.ids == (None, 1, None)
    for names in ({5: "cow"}, {5: "dog", 8: "cow"}):  # the ids are known, and called otherwise
        with pytest.raises(ValueError, match="which the model does not know; its category ids: 5, 8, called 'cat'"):
            categories.match_model(model((5, 8), ("cat", "dog")), coco(names))


def test_without_names():
    found = categories.match_model(model((5, 8)), coco({5: "cat", 8: "dog"}))
    assert found.ids == (5, 8) and found.note == categories.NAMELESS
    with pytest.raises(ValueError, match="has categories 9, which the model does not know"):
        categories.match_model(model((5, 8)), coco({5: "cat", 9: "dog"}))
    assert categories.match_model(model((5, 8), ("cat", "dog")), coco({8: None})).ids == (None, 8)


def test_a_model_without_ids():
    """As it was trained from Python: classes are the file's categories by ascending id, or by name."""
    found = categories.match_model(model(count=2), coco({30: "b", 4: "a"}))
    assert found.ids == (4, 30) and "classes 1..2 are taken for 4, 30" in found.note
    assert categories.match_model(model(names=("b", "a")), coco({30: "b", 4: "a"})).ids == (30, 4)
    with pytest.raises(ValueError, match="no category_ids and 3 classes, the annotation file 2 categories"):
        categories.match_model(model(count=3), coco({30: "b", 4: "a"}))


def test_of_many_unknown_categories_and_classes_the_first_are_named():
    match = categories.Match((), tuple((number, "x" * 500) for number in range(3000)), "")
    with pytest.raises(ValueError, match="0, 1, .* and 2980 more, which the model .* and 1183 more, called") as error:
        match.check(range(1203), ["y" * 500] * 1203)
    assert len(str(error.value)) < 3000


def test_names_that_differ_by_case_or_spaces_are_said():
    said = list(categories.notes(coco({1: "cat", 2: "Cat ", 3: "dog"})))
    assert said[0].startswith(
        "warning: categories that differ by case or spaces only are different classes: 1 'cat', 2 'Cat '"
    )
    with pytest.raises(ValueError, match="'Cat' and 'cat' differ by case or spaces only"):
        categories.match_model(model((5,), ("cat",)), coco({5: "Cat"}))
    assert not list(categories.notes(coco({1: "cat", 2: "cats"})))
