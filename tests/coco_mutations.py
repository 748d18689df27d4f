"""Damaged COCO files and result files, made from good ones by a seeded generator."""

import copy
import json

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

SIZES = ((48, 64), (64, 48), (48, 64))  # height, width
VALUES = (None, True, False, 0, -1, 1, 2, 0.5, -1e9, 1e300, 2**31 - 1, 2**31, 2**63, -(2**63), 10**30, float("nan"))
VALUES += (float("inf"), "", "0", "1", "nan", "\0", "\ud800", "é\n", "b'P1'", "o" * 50, "PPPPPPPPPPPPPPP1", "x")
VALUES += ([], [[]], [[], []], {}, [None], [[1, 2]], [1, 2, 3, 4], [[1, 2, 3, 4, 5, 6]], [["1"] * 6], [[1e9, -1e9] * 4])
VALUES += ({"size": [0, 0], "counts": [0]}, {"size": [48, 64], "counts": [1, 2]}, {"size": [48, 64], "counts": "x"})
VALUES += ({"size": [48, 64], "counts": [2**62] * 4 + [3072]}, {"size": [2**31 - 1, 64], "counts": "0"}, {"counts": 7})
VALUES += ({"size": [64, 48], "counts": [3072]}, [[[1, 1], [5, 1], [5, 5]]], [0, 0, 0, 0], [9, 9, -5, -5], [1] * 100)


def rle_of(x: float, y: float, width: float, height: float, size: tuple[int, int]) -> dict:
    mask = np.zeros(size, np.uint8, order="F")
    mask[int(y) : int(y + height), int(x) : int(x + width)] = 1
    encoded = coco_mask.encode(mask)
    return {"size": list(size), "counts": encoded["counts"].decode()}


def write_good(folder) -> tuple[dict, list[dict]]:
    """Images below a folder; their COCO table (polygons, both kinds of RLE, a crowd, keypoints) and results."""
    images, rows, results = [], [], []
    for number, size in enumerate(SIZES, start=1):
        Image.fromarray(np.full((*size, 3), 40 * number, np.uint8)).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": size[0], "width": size[1]})
        for place in range(3):
            box = [4.0 + 6 * place, 3.0 + 9 * place, 20.0, 15.0]
            x, y, width, height = box
            polygon = [[x, y, x + width, y, x + width, y + height, x, y + height]]
            compressed = rle_of(*box, size)
            runs = np.diff(np.flatnonzero(np.diff(coco_mask.decode(compressed).ravel("F"), prepend=1, append=2)))
            segmentation = (polygon, compressed, {"size": list(size), "counts": [0, *runs.tolist()][1:]})[place]
            row = {"id": len(rows) + 1, "image_id": number, "category_id": 1 + place % 2, "bbox": box, "area": 300.0}
            row |= {"iscrowd": int(len(rows) == 8), "segmentation": segmentation}
            if number == 2:
                row |= {"keypoints": [3, 4, 2, 9, 9, 0], "num_keypoints": 1}
            rows.append(row)
            found = {"image_id": number, "category_id": 1 + place % 2, "bbox": box, "score": 0.9 - place / 10}
            results.append(found | {"segmentation": compressed, "file_name": f"{number}.png"})
    categories = [{"id": 1, "name": "cell", "keypoints": ["a", "b"]}, {"id": 2, "name": "leaf"}]
    return {"images": images, "annotations": rows, "categories": categories}, results


def places(value, path=()):
    """The path of every value inside nested tables and lists; of long lists of numbers the first few."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:9]) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def mutate(content, random) -> bytes:
    """The JSON of a damaged copy: up to 3 changes of values, in every twelfth case of its bytes too."""
    content = copy.deepcopy(content)
    for _ in range(random.integers(1, 4)):
        paths = list(places(content))
        _change(content, paths[random.integers(len(paths))], random)
    data = json.dumps(content).encode()
    if random.integers(12):
        return data
    start, end = sorted(int(n) for n in random.integers(0, len(data) + 1, 2))
    flipped = bytearray(data)
    flipped[random.integers(len(data))] ^= 1 << int(random.integers(8))
    deep = b"[" * 100_000
    return (data[:start], data[:start] + data[end:], bytes(flipped), b"\xef\xbb\xbf" + data, deep)[random.integers(5)]


def _change(content, path, random):
    *way, last = path
    owner = content
    for key in way:
        owner = owner[key]
    old, kind = owner[last], random.integers(7)
    if kind == 0:
        del owner[last]
    elif kind == 1 and isinstance(old, str) and old:
        position = random.integers(len(old))
        owner[last] = old[:position] + chr(random.integers(1, 200)) + old[position + 1 :]
    elif kind == 2 and isinstance(old, int | float):
        owner[last] = (old + 1, -old, old * 1000, str(old), old + 0.5, float(old))[random.integers(6)]
    elif kind == 3 and isinstance(old, list) and old:
        owner[last] = (old * 2, old[::-1], old[:-1], [old], old + old[:1], {"0": old})[random.integers(6)]
    elif kind == 4:
        others = list(owner) if isinstance(owner, dict) else range(len(owner))
        owner[last] = copy.deepcopy(owner[list(others)[random.integers(len(others))]])
    else:
        owner[last] = copy.deepcopy(VALUES[random.integers(len(VALUES))])
