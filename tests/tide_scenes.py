"""Random files with every kind of error, for `tidecv` and for us; what `RandomState` draws is the same everywhere."""

import numpy as np
from pycocotools import mask as coco_mask

HEIGHT, WIDTH, CLASSES = 160, 200, 5
SEEDS = (1, 2, 3)
HERE, FAR, AWAY = [0, 0, 100, 100], [150, 0, 100, 100], [10, 150, 40, 40]
NEAR = [150, 40, 100, 100]  # IoU with FAR is 6000 / 14000


def scene(seed, crowds=False, images=14):
    """A COCO-format dict and results with boxes and masks. Scores are all different; every class has objects."""
    random = np.random.RandomState(seed)
    annotations, results = [], []
    for image_id in range(1, images + 1):
        for _ in range(random.randint(2, 8)):
            corner, side = random.uniform((0, 0), (WIDTH - 60, HEIGHT - 60)), random.uniform(14, 58, 2)
            box = np.round(np.r_[corner, side], 2)
            category = int(random.randint(1, CLASSES + 1)) if annotations else CLASSES
            is_crowd = bool(crowds and random.random_sample() < 0.2)
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, "category_id": category})
            annotations[-1] |= shape(box) | {"iscrowd": int(is_crowd)}
            results += [found(random, image_id, category, box) for _ in range(random.randint(0, 4))]
        for _ in range(random.randint(0, 3)):
            box = np.r_[random.uniform((0, 0), (WIDTH - 40, HEIGHT - 40)), random.uniform(9, 40, 2)]
            results.append(found(random, image_id, int(random.randint(1, CLASSES + 1)), np.round(box, 2)))
    scores = random.permutation(len(results)) + random.uniform(0.1, 0.9, len(results))
    for result, score in zip(results, np.round(scores / len(results), 5), strict=True):
        result["score"] = float(score)
    names = ("imp", "jay", "kid", "lob", "moa")
    table = [
        {"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH}
        for number in range(1, images + 1)
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    return {"images": table, "annotations": annotations, "categories": categories}, results


def found(random, image_id, category, box):
    """A result near a box: moved a little or a lot, in four of five of its class."""
    spread = float(random.choice([1.5, 4.0, 12.0]))
    moved = box + np.round(random.normal(0, spread, 4), 2)
    moved[2:] = np.maximum(moved[2:], 6.0)
    moved[:2] = np.clip(moved[:2], 0, (WIDTH - 6, HEIGHT - 6))
    moved[2:] = np.minimum(moved[2:], np.array([WIDTH, HEIGHT]) - moved[:2])
    own = random.random_sample() < 0.8
    return {"image_id": image_id, "category_id": category if own else int(random.randint(1, CLASSES + 1))} | shape(
        moved
    )


def shape(box):
    """The box, and as its mask a six-cornered part of it as RLE."""
    x, y, w, h = (float(side) for side in box)
    corners = [x + w / 3, y, x + w, y + h / 4, x + w, y + h, x + w / 2, y + 0.8 * h, x, y + h, x, y + h / 3]
    (rle,) = coco_mask.frPyObjects([corners], HEIGHT, WIDTH)
    segmentation = {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode()}
    return {"bbox": [x, y, w, h], "segmentation": segmentation, "area": float(coco_mask.area(rle))}


def one_image(objects, results):
    """Of one image, from rows (category, xywh) and (category, xywh, score)."""
    rows = [
        {"id": number, "image_id": 1, "category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for number, (category, box) in enumerate(objects, start=1)
    ]
    found = [{"image_id": 1, "category_id": c, "bbox": box, "score": score} for c, box, score in results]
    images = [{"id": 1, "file_name": "a.png", "height": 200, "width": 300}]
    return {
        "images": images,
        "annotations": rows,
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }, found
