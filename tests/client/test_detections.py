"""Objects: what they say, how they are chosen, that the old ways of a dict go on."""

import pickle

import numpy as np
import pytest

import mask_rcnn_client as client

LEGEND = client.Legend((7, 90, 4), ("cat", "dog", "3"))


def found(legend=LEGEND, **more):
    """A dog, a cat and a dog in an image of 20 x 30."""
    arrays = {
        "detection_boxes": np.array([[2, 3, 12, 9], [0, 0, 4, 4], [5, 5, 9, 9]], np.float32),
        "detection_scores": np.array([0.9, 0.5, 0.25], np.float32),
        "detection_classes": np.array([2, 1, 2], np.int32),
    }
    return client.Detections(arrays | more, (20, 30), legend)


def test_objects_one_by_one():
    masks = np.ones((3, 28, 28), np.float32)
    several = found(detection_masks=masks, detection_keypoints=np.arange(18, dtype=np.float32).reshape(3, 2, 3))
    assert len(several) == 3 and repr(several) == "<3 objects in 20 x 30 pixels: 2 dog, 1 cat>"
    first, second, _ = several
    assert (first.class_name, first.class_number, first.category_id, second.class_name) == ("dog", 2, 90, "cat")
    assert first.score == pytest.approx(0.9) and first.box.tolist() == [2, 3, 12, 9]
    assert first.keypoints.tolist() == [[0, 1, 2], [3, 4, 5]] and first.mask.shape == (20, 30)
    assert several[-1].score == 0.25 and several[np.int64(0)].index == 0
    with pytest.raises(IndexError):
        several[3]
    for index, one in enumerate(several):
        np.testing.assert_array_equal(one.mask, several.masks[index])
    with pytest.raises(AttributeError):
        first.score = 1.0


def test_no_masks_and_no_keypoints():
    (one, *_), several = found(), found()
    assert several.masks is None and several.mask(0) is None and several.keypoints is None
    assert one.mask is None and one.keypoints is None and not several.has_masks


def test_it_answers_as_the_dict_did():
    several = found()
    assert several["detection_boxes"] is several.boxes and several.get("detection_masks") is None
    assert "detection_boxes" in several and "detection_masks" not in several
    assert dict(several).keys() == several.keys() == {**several}.keys() == dict(several.items()).keys()
    assert [len(rows) for rows in several.values()] == [3, 3, 3]
    with pytest.raises(KeyError):
        several["detection_masks"]


def test_selected():
    several = found(detection_masks=np.ones((3, 28, 28), np.float32))
    assert several.select(0.5).scores.tolist() == several.scores[:2].tolist()
    assert several.select(0.9).class_names == ["dog"]  # 0.9 of float32 is less than Python's
    assert several.select(classes=("cat", 2)).class_names == ["dog", "cat", "dog"]
    assert several.select(0.3, ["dog"]).masks.shape == (1, 20, 30) and len(several) == 3
    assert len(several.select(classes=())) == 0 and len(several.select(classes=(3,))) == 0


@pytest.mark.parametrize(
    "wanted, number", [("cat", 1), (2, 2), (np.int64(1), 1), ("90", 2), ("3", 3), ("4", 3), (True, 1)]
)
def test_classes_by_name_number_and_category_id(wanted, number):
    """A text is a name, else a category id; a whole number is a class."""
    assert LEGEND.number_of(wanted) == number


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"classes": ["owl"]}, "classes has 'owl'; allowed: a name or number of 1 cat, 2 dog, 3 3"),
        ({"classes": [4]}, "classes has 4; allowed: a name or number of 1 cat"),
        ({"classes": [0]}, "classes has 0; allowed"),
        ({"classes": [1.5]}, "classes has 1.5; allowed"),
        ({"classes": [["cat"]]}, r"classes has \['cat'\]; allowed"),
        ({"classes": "cat"}, "classes is 'cat'; allowed: a list or tuple"),
        ({"classes": 3}, "classes is 3; allowed: a list or tuple"),
        ({"min_score": 50}, "min_score is 50; allowed: a number from 0 to 1"),
        ({"min_score": float("nan")}, "min_score is nan; allowed"),
        ({"min_score": "0.5"}, "min_score is '0.5'; allowed"),
    ],
)
def test_what_cannot_be_selected(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        found().select(**arguments)
    assert "\n" not in str(caught.value)


def test_numbers_are_names_where_there_are_none():
    assert found(client.Legend((7, 90))).class_names == ["90", "7", "90"]
    with pytest.raises(ValueError, match="class_names has 1 names, and category_ids 2 ids; allowed: one name a class"):
        client.Legend((7, 90), ("cat",))


def test_it_goes_to_other_processes():
    again = pickle.loads(pickle.dumps(found()))
    assert again.class_names == ["dog", "cat", "dog"] and again[1].box.tolist() == [0, 0, 4, 4]


def test_legend_of_an_export(tmp_path):
    config = {"detection": {"mask_threshold": 0.4, "paste": "integer"}, "category_ids": [7, 90], "num_classes": 2}
    config["class_names"] = ["cat", "dog"]
    labels = {"7": "cat", "90": "dog"}
    expected = client.Legend((7, 90), ("cat", "dog"), 0.4, "integer")
    assert client.make_legend(labels, config) == client.make_legend(None, config) == expected
    assert client.make_legend(None, config | {"category_ids": []}).category_ids == (1, 2)
    assert client.make_legend(labels) == client.Legend((7, 90), ("cat", "dog"))
    for wrong in ([], {"a": "cat"}, None, 3):
        with pytest.raises(ValueError, match="labels and config are not those of an export"):
            client.make_legend(wrong)
    with pytest.raises(ValueError, match="labels is '.*labels.json'; it cannot be read: No such file"):
        client.read_legend(tmp_path)
    (tmp_path / "labels.json").write_text("{")
    with pytest.raises(ValueError, match="labels is '.*labels.json'; it is not JSON: [^\n]*$"):
        client.read_legend(tmp_path)
