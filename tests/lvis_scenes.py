"""Random LVIS files and results for them, the same everywhere: `RandomState`'s numbers do not change with NumPy."""

import numpy as np
from pycocotools import mask as coco_mask

HEIGHT, WIDTH = 200, 240
SEEDS, LIMITS = (0, 1, 2), (300, 40)


def rectangle(x, y, width, height):
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def rle_of(x, y, width, height):
    """Compressed run lengths of a rectangle of whole pixels."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[y : y + height, x : x + width] = 1
    return {"size": [HEIGHT, WIDTH], "counts": coco_mask.encode(mask)["counts"].decode()}


def image(number, negative=(), partial=()):
    """An LVIS image: no file_name, but an address."""
    return {
        "id": number,
        "height": HEIGHT,
        "width": WIDTH,
        "coco_url": f"http://images.example.org/val2017/{number:012d}.png",
        "neg_category_ids": list(negative),
        "not_exhaustive_category_ids": list(partial),
    }


def annotation(number, image_id, category_id, box):
    row = {"id": number, "image_id": image_id, "category_id": category_id, "bbox": list(box)}
    return row | {"area": box[2] * box[3], "segmentation": rectangle(*box)}


def result(image_id, category_id, box, score):
    row = {"image_id": image_id, "category_id": category_id, "bbox": list(box), "score": score}
    return row | {"segmentation": rle_of(*box)}


def category(number, frequency):
    return {"id": number, "name": f"thing {number}", "synset": f"thing.n.{number:02d}", "frequency": frequency}


def draw_box(random, near=None):
    if near is None:
        side = np.exp(random.uniform(np.log(6), np.log(150), 2))
        corner = random.uniform(0, 1, 2) * (np.array([WIDTH, HEIGHT]) - side)
        box = [*corner, *side]
    else:
        box = np.array(near) + random.normal(0, 0.06, 4) * (near[2], near[3], near[2], near[3])
    x, y = (int(np.clip(box[i], 0, limit - 2)) for i, limit in ((0, WIDTH), (1, HEIGHT)))
    return (x, y, int(np.clip(box[2], 1, WIDTH - x)), int(np.clip(box[3], 1, HEIGHT - y)))


def scene(seed, images=14, categories=21):
    """A ground truth and results: ties, negatives, unfinished categories, unknown ones, an image with 400 results."""
    random = np.random.RandomState(seed)
    ids = [3 + 2 * i for i in range(categories)]
    table = [category(key, "rcf"[i % 3]) for i, key in enumerate(ids)]
    listed, rows, results = [], [], []
    for number in range(1, images + 1):
        shuffled = [int(key) for key in random.permutation(ids)]
        present, negative = shuffled[: random.randint(0, 6)], shuffled[6:12]
        partial = shuffled[: random.randint(0, 3)] + shuffled[12:13] * random.randint(0, 2)
        listed.append(image(number * 10, negative, [key for key in partial if key in present or key not in negative]))
        for key in present[: None if number % 5 else 0]:
            for _ in range(random.randint(1, 5)):
                box = draw_box(random)
                rows.append(annotation(len(rows) + 1, number * 10, key, box))
                for _ in range(random.randint(0, 4)):
                    results.append(result(number * 10, key, draw_box(random, box), random.randint(1, 12) / 12))
        for key in random.choice(ids, 400 if number == 2 else 25):
            results.append(result(number * 10, int(key), draw_box(random), random.randint(1, 9) / 12))
    order = random.permutation(len(results))
    return {"images": listed, "annotations": rows, "categories": table}, [results[i] for i in order]
