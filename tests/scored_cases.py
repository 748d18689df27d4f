"""Ground truths and results to score, made from a seed or by hand."""

import contextlib
import io

import numpy as np
from pycocotools import coco


def rectangle(x, y, width, height):
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def truth_of(boxes):
    """A ground truth of two categories (ids 3 and 70), from rows (image_id, category_id, xywh, crowd)."""
    annotations = [
        {
            "id": number,
            "image_id": image_id,
            "category_id": category_id,
            "bbox": list(box),
            "area": box[2] * box[3],
            "iscrowd": crowd,
            "segmentation": rectangle(*box),
        }
        for number, (image_id, category_id, box, crowd) in enumerate(boxes, start=1)
    ]
    images = [{"id": image_id, "height": 200, "width": 240} for image_id in (5, 9)]
    categories = [{"id": 3, "name": "cat"}, {"id": 70, "name": "oven"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def results_of(truth, rows):
    """Results with boxes and masks, from rows (image_id, category_id, xywh, score)."""
    index = coco.COCO()
    index.dataset = truth
    with contextlib.redirect_stdout(io.StringIO()):
        index.createIndex()
    results = []
    for image_id, category_id, box, score in rows:
        rle = index.annToRLE({"image_id": image_id, "segmentation": rectangle(*box)})
        segmentation = {"size": rle["size"], "counts": rle["counts"].decode()}
        results.append(
            {
                "image_id": image_id,
                "category_id": category_id,
                "bbox": list(box),
                "score": score,
                "segmentation": segmentation,
            }
        )
    return results


def random_case(seed=0, count=40):
    random = np.random.default_rng(seed)
    rows, found = [], []
    for _ in range(count):
        image_id, category_id = int(random.choice([5, 9])), int(random.choice([3, 70]))
        side = np.exp(random.uniform(np.log(12), np.log(130), 2)).round()
        corner = (random.random(2) * (np.array([240, 200]) - side)).round()
        box = (*map(float, corner), *map(float, side))
        rows.append((image_id, category_id, box, int(random.random() < 0.1)))
        for _ in range(random.integers(0, 3)):
            moved = tuple(float(max(1, value + random.normal() * 3)) for value in box)
            found.append((image_id, category_id, moved, float(random.random())))
    truth = truth_of(rows)
    return truth, results_of(truth, found)


def keypoint_case(joints):
    """One instance of `joints` keypoints, one result that is 3 pixels off in x."""
    points = np.array([[20 + 5 * j, 30 + 3 * j, 2] for j in range(joints)], float)
    truth = truth_of([(5, 3, (15, 25, 60, 50), 0)])
    truth["annotations"][0]["keypoints"] = points.ravel().tolist()
    found = points + [3, 0, -1]
    return truth, [{"image_id": 5, "category_id": 3, "score": 0.9, "keypoints": found.ravel().tolist()}]
