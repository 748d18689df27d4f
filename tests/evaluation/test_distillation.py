"""Which detections become annotations, against a sort of all of them; and that the file is one to train on."""

import json

import numpy as np
import pycocotools.mask
import pytest
from PIL import Image

from mask_rcnn_tf.coco import gate, reader
from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.evaluation import distillation, image_files

IMAGES, FOUND = 6, 5


@pytest.fixture
def config():
    config = ModelConfig(num_classes=3, category_ids=(5, 8, 77), class_names=("cat", "dog", "cow"))
    config.keypoint_head.enabled, config.keypoint_head.num_keypoints = True, 2
    return config


@pytest.fixture
def labelled():
    """Three images with 4 objects and a crowd: 4 / 3 an image. Its ids of cat and dog are not the model's."""
    box = {"bbox": [1, 2, 10, 12], "area": 120, "segmentation": [[1, 2, 11, 2, 11, 14, 1, 14]]}
    rows = [box | {"id": 9 - i, "image_id": 30 + i % 2, "category_id": 1 + i % 2, "iscrowd": 0} for i in range(4)]
    rows.append(
        box
        | {
            "id": 20,
            "image_id": 30,
            "category_id": 1,
            "iscrowd": 1,
            "segmentation": {"size": [40, 60], "counts": [2400]},
        }
    )
    images = [{"id": 30 + i, "file_name": f"{i}.png", "height": 40, "width": 60} for i in range(3)]
    return {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "new").mkdir()
    for i in range(IMAGES):
        Image.fromarray(np.full((40, 60, 3), i, np.uint8)).save(tmp_path / "new" / f"{i}.png")
    (tmp_path / "new" / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return image_files.find_images(tmp_path / "new")


def detections(level):
    """Those of the image of that level: scores of all images interleave; class 3 is not in the labelled file."""
    random = np.random.default_rng(level)
    corner = random.uniform(0, 20, (FOUND, 2))
    return {
        "detection_boxes": np.float32(np.concatenate([corner, corner + random.uniform(5, 20, (FOUND, 2))], 1)),
        "detection_scores": np.sort(random.uniform(0, 1, FOUND).astype(np.float32))[::-1],
        "detection_classes": np.int32([1, 2, 3, 1, 2]),
        "detection_masks": random.uniform(0.2, 1, (FOUND, 28, 28)).astype(np.float32),
        "detection_keypoints": np.float32(np.tile([[3.0, 4, 0.9], [5, 6, 0.01]], (FOUND, 1, 1))),
    }


def predict(images):
    return [detections(int(image[0, 0, 0])) for image in images]


@pytest.mark.parametrize("margin", [0, 1000])  # sorted out on the way, or in the end
def test_as_many_objects_as_labelled_images_have(config, labelled, files, monkeypatch, margin):
    monkeypatch.setattr(distillation, "MARGIN", margin)
    found, score, failures = distillation.distill(predict, files, config, labelled)
    assert len(failures) == 1 and "x.png" in failures[0] and len(found["images"]) == IMAGES
    scores = [(float(s), i, c) for i in range(IMAGES) for s, c in zip(*both(detections(i)), strict=True) if c != 3]
    best = sorted(scores, reverse=True)[: round(4 / 3 * IMAGES)]
    assert len(best) == 8 and score == best[-1][0]
    ids = {image["file_name"]: image["id"] for image in found["images"]}
    expected = sorted((ids[f"{i}.png"], s, {1: 2, 2: 1}[c]) for s, i, c in best)
    assert sorted((r["image_id"], r["score"], r["category_id"]) for r in found["annotations"]) == expected
    for row in found["annotations"]:
        assert row["area"] == pycocotools.mask.area(row["segmentation"]) and row["iscrowd"] == 0
        np.testing.assert_allclose(row["keypoints"], [2.5, 3.5, 2, 0, 0, 0])
        assert row["num_keypoints"] == 1


def both(found):
    return found["detection_scores"], found["detection_classes"].tolist()


def test_together_is_one_file_to_train_on(config, labelled, files, tmp_path):
    found, *_ = distillation.distill(predict, files, config, labelled)
    joined, root = distillation.together(labelled, tmp_path / "old" / "images", found, tmp_path / "new")
    assert root == str(tmp_path) and joined["categories"] == labelled["categories"]
    (tmp_path / "both.json").write_text(json.dumps(joined))
    coco = reader.read_annotations(tmp_path / "both.json")
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    assert list(names.values())[2:4] == ["old/images/2.png", "new/0.png"] and len(names) == 3 + IMAGES
    assert [row["id"] for row in coco["annotations"]] == list(range(1, 14))
    judge = gate.Gate(coco, num_keypoints=2, need_mask=True)
    assert all(judge.is_owned(row) and judge.admit(row) for row in coco["annotations"][4 + 1 :]) and not judge.bad
    before = {
        (image["file_name"], row["score"])
        for image in found["images"]
        for row in found["annotations"]
        if row["image_id"] == image["id"]
    }
    after = {(names[row["image_id"]][4:], row["score"]) for row in coco["annotations"] if "score" in row}
    assert before == after


def test_nothing_to_aim_at_or_nothing_found(config, labelled, files):
    with pytest.raises(ValueError, match="labelled has no images or no annotations"):
        distillation.distill(predict, files, config, labelled | {"annotations": labelled["annotations"][4:]})
    empty = {name: value[:0] for name, value in detections(0).items()}
    with pytest.raises(ValueError, match="nothing was found on 6 of 7 images"):
        distillation.distill(lambda images: [empty], files, config, labelled)
