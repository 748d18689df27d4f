"""Names, skeleton and mirror images of a file's keypoints."""

import pytest
from pycocotools import cocoeval

from mask_rcnn_tf.coco.keypoints import KeypointSet, keypoint_set
from mask_rcnn_tf.config import person_keypoints


def of_category(**category):
    return {"categories": [{"id": 1, "name": "other"}, {"id": 2, "name": "a", **category}], "annotations": []}


def test_a_files_own():
    names = ["nose", "left_eye", "right_eye"]
    found = keypoint_set(of_category(keypoints=names, skeleton=[[1, 2], [1, 3]], sigmas=[0.1, 0.2, 0.2]))
    assert found == KeypointSet(3, tuple(names), ((0, 1), (0, 2)), (0.1, 0.2, 0.2))
    assert found.flip_pairs == ((1, 2),)


def test_a_file_that_names_nothing():
    assert keypoint_set(of_category()) == KeypointSet()
    rows = {"annotations": [{"keypoints": [1, 1, 2] * 4}]}
    assert keypoint_set(of_category() | rows) == KeypointSet(4)


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["L_wrist", "R_wrist", "neck"], ((0, 1),)),
        (["Right Hip", "Knee left", "Left Hip", "Knee right"], ((0, 2), (1, 3))),
        (["eye.l", "eye.r", "tail"], ((0, 1),)),
        (["leftover", "rightover", "left"], ()),  # parts of words, and one without a partner
        (["head", "tail"], ()),
        (["top", "right", "bottom", "left"], ((1, 3),)),
    ],
)
def test_pairs_differ_in_left_and_right_alone(names, pairs):
    assert keypoint_set(of_category(keypoints=names)).flip_pairs == pairs


@pytest.mark.parametrize(
    "skeleton", [None, "a", 3, [[1, 4]], [[0, 1]], [[1]], ["ab"], [[1, 1]], [[1, 2.0]], [[True, 2]], [None]]
)
def test_what_joins_nothing_is_left_out(skeleton):
    assert keypoint_set(of_category(keypoints=["a", "b", "c"], skeleton=skeleton)).skeleton == ()


@pytest.mark.parametrize("names", [["a", "A"], ["a", 1], ["a", "b\n"], ["a", None]])
def test_names_that_are_none(names):
    assert keypoint_set(of_category(keypoints=names)) == KeypointSet(2)


@pytest.mark.parametrize("sigmas", ["ab", [0.1], [0.1, 0.0], [0.1, -1], [0.1, "0.1"], [0.1, True], [0.1, 1e300], 5])
def test_sigmas_that_are_none(sigmas):
    assert keypoint_set(of_category(keypoints=["a", "b"], sigmas=sigmas)).sigmas == ()


def test_a_person_is_cocos():
    person = person_keypoints()
    assert len(person.names) == 17 == len(cocoeval.Params("keypoints").kpt_oks_sigmas)
    skeleton = [[first + 1, second + 1] for first, second in person.skeleton]
    found = keypoint_set(of_category(keypoints=list(person.names), skeleton=skeleton))
    assert (found.names, found.skeleton) == (person.names, person.skeleton)
    assert found.flip_pairs == person.flip_pairs == tuple((index, index + 1) for index in range(1, 17, 2))
