"""A ground truth and results of as many images as there may be, drawn by NumPy alone."""

import numpy as np
from pycocotools import mask as coco_mask

from mask_rcnn_tf.coco import rle

SIZE, CLASSES, OBJECTS, RESULTS = (480, 640), 80, 7, 50  # of an image: as in COCO, and as many results as are kept
FOUND, SHIFT = 0.8, 4  # share of the objects that are found, some pixels beside


def drawn_results(images, seed=0):
    """Ellipses; most objects found, and others that are not there with lower scores.

    Returns:
      (COCO dataset, list of COCO results, each with `bbox` and `segmentation`)
    """
    random = np.random.default_rng(seed)
    annotations, results = [], []
    for number in range(1, images + 1):
        found = []
        for _ in range(OBJECTS):
            shape = drawn_ellipse(random)
            category = int(random.integers(1, CLASSES + 1))
            entry = {"image_id": number, "category_id": category, "iscrowd": 0, **ellipse(*shape)}
            entry |= {"id": len(annotations) + 1, "area": float(coco_mask.area(entry["segmentation"]))}
            annotations.append(entry)
            if random.random() < FOUND:
                moved = random.integers(-SHIFT, SHIFT + 1, 2)
                corner = np.clip(shape[0] + moved, 0, SIZE - shape[1])
                found.append((category, random.random(), (corner, shape[1])))
        while len(found) < RESULTS:
            found.append((int(random.integers(1, CLASSES + 1)), random.random() / 2, drawn_ellipse(random)))
        for category, score, shape in found:
            results.append({"image_id": number, "category_id": category, "score": round(score, 3), **ellipse(*shape)})
    height, width = SIZE
    categories = [{"id": number, "name": str(number)} for number in range(1, CLASSES + 1)]
    numbers = range(1, images + 1)
    listed = [{"id": i, "height": height, "width": width, "file_name": f"{i}.jpg"} for i in numbers]
    return {"images": listed, "annotations": annotations, "categories": categories}, results


def drawn_ellipse(random):
    """(upper left corner, sides), pixels, (y, x): as many small as large ones."""
    sides = np.exp(random.uniform(np.log(16), np.log(200), 2)).astype(int)
    return random.integers(0, SIZE - sides), sides


def ellipse(corner, sides):
    """`bbox` and `segmentation` of the ellipse in a box."""
    rows, columns = (((np.arange(side) + 0.5) / side * 2 - 1) ** 2 for side in sides)
    bitmap = (rows[:, None] + columns[None] <= 1).astype(np.uint8)
    (y, x), (height, width) = map(int, corner), map(int, sides)
    return {"bbox": [x, y, width, height], "segmentation": rle.encode_crop(bitmap, (y, x), SIZE)}
