"""A COCO data set of drawn photos: JPEG files and polygons, written by NumPy, Pillow and JSON alone."""

import json
import pathlib

import numpy as np
from PIL import Image, ImageDraw

SIZE, CLASSES, OBJECTS = (480, 640), 80, 7  # as COCO's are
CORNERS = 40  # of a polygon
QUALITY = 95  # of JPEG


def write_folder(folder, images, seed=0):
    """Writes images/ and annotations.json."""
    folder, random = pathlib.Path(folder), np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    annotations, listed = [], []
    for number in range(1, images + 1):
        picture = Image.fromarray(_background(random))
        draw = ImageDraw.Draw(picture)
        for _ in range(OBJECTS):
            polygon = _polygon(random)
            draw.polygon([tuple(point) for point in polygon], fill=tuple(random.integers(0, 256, 3).tolist()))
            (x, y), (right, bottom) = polygon.min(0), polygon.max(0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(random.integers(1, CLASSES + 1)),
                    "bbox": [x, y, right - x, bottom - y],
                    "area": float(_area(polygon)),
                    "iscrowd": 0,
                    "segmentation": [polygon.ravel().tolist()],
                }
            )
        name = f"{number:06d}.jpg"
        picture.save(folder / "images" / name, quality=QUALITY)
        listed.append({"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
    categories = [{"id": number, "name": f"class{number}"} for number in range(1, CLASSES + 1)]
    truth = {"images": listed, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(truth))


def _background(random):
    """Coarse noise, enlarged, and fine noise: a JPEG of a photo's size."""
    coarse = Image.fromarray(random.integers(0, 256, (SIZE[0] // 20, SIZE[1] // 20, 3), np.uint8))
    smooth = np.asarray(coarse.resize(SIZE[::-1], Image.Resampling.BICUBIC), np.float32)
    return np.clip(smooth + random.normal(0, 8, (*SIZE, 3)), 0, 255).astype(np.uint8)


def _polygon(random):
    """A wavy outline inside the image, float64 [CORNERS, 2] of (x, y)."""
    radii = np.exp(random.uniform(np.log(10), np.log(110), 2))
    angle = np.arange(CORNERS) / CORNERS * 2 * np.pi
    waves = 0.8 + 0.2 * np.sin(int(random.integers(2, 6)) * angle + random.random() * 6)
    centre = radii + random.random(2) * (np.array(SIZE[::-1]) - 1 - 2 * radii)
    points = centre + radii * np.stack([np.cos(angle), np.sin(angle)], 1) * waves[:, None]
    return np.round(points, 2)


def _area(polygon):
    x, y = polygon.T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
