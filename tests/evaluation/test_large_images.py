"""Large pictures by tiles, beside small ones of the same kind; memory on a raster of 20000 x 20000."""

import json
import sys

import forked
import numpy as np
import pytest
from PIL import Image
from trained import trained_model

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.coco.rle import encode_crop
from mask_rcnn_tf.config import ShapesConfig
from mask_rcnn_tf.data import shapes
from mask_rcnn_tf.evaluation import coco_metrics, tiles
from mask_rcnn_tf.evaluation.tiles import Tiling

pytestmark = pytest.mark.slow  # a model is trained, and predicts some thousand tiles
SIDE, ACROSS = 300, 20
WHOLE = (SIDE * ACROSS, SIDE * ACROSS)
MEMORY = """
import resource, sys
sys.argv = sys.argv[1:]
import runpy
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return trained_model(tmp_path_factory.mktemp("scenes"), steps=800)


@pytest.fixture(scope="module")
def scenes():
    """400 scenes of 192 pixels, enlarged to 300: images, and for each object its class and mask."""
    found = []
    for index in range(ACROSS**2):
        scene = shapes.draw_scene(ShapesConfig(), "val", index)
        image = np.array(Image.fromarray(scene["image"]).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        masks = [
            np.array(Image.fromarray(mask).resize((SIDE, SIDE), Image.Resampling.NEAREST)) for mask in scene["masks"]
        ]
        found.append((image, scene["classes"], masks))
    return found


def truth_of(scenes, place):
    """Ground truth; `place(index)` is the image's id, its shape, and where in it the scene lies."""
    images, annotations = {}, []
    for index, (_, classes, masks) in enumerate(scenes):
        image_id, shape, (y, x) = place(index)
        images[image_id] = {"id": image_id, "height": shape[0], "width": shape[1], "file_name": f"{image_id}.png"}
        for class_id, mask in zip(classes.tolist(), masks, strict=True):
            rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
            box = [x + columns[0], y + rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
            row = {"image_id": image_id, "category_id": class_id, "iscrowd": 0, "area": int(mask.sum())}
            row |= {"bbox": list(map(int, box)), "segmentation": encode_crop(mask, (y, x), shape)}
            annotations.append(row | {"id": len(annotations) + 1})
    categories = [{"id": number, "name": str(number)} for number in range(1, 7)]
    return {"images": list(images.values()), "annotations": annotations, "categories": categories}


def mosaic(scenes):
    rows = [np.concatenate([scenes[row * ACROSS + i][0] for i in range(ACROSS)], 1) for row in range(ACROSS)]
    return np.concatenate(rows)


def drawn(size, count):
    """Scenes with as many objects an area as those of 192 pixels have in the mean: images, classes, masks."""
    objects = {192: (3, 8)}.get(size, (88, 88))
    options = ShapesConfig(size=size, min_objects=objects[0], max_objects=objects[1])
    scenes = (shapes.draw_scene(options, "val", index) for index in range(count))
    return [(scene["image"], scene["classes"], list(scene["masks"])) for scene in scenes]


def test_ap_of_large_pictures_is_that_of_small_ones(model):
    """Scenes of 768 pixels in tiles of 192, which overlap by the length of the largest objects.

    Other scenes than the small ones, some 600 objects each: their AP differs by a hundredth or two by chance.
    """
    ids, predict, detection = range(1, 7), mrcnn.make_predictor(model), model.config.detection
    small, large, found, together = drawn(192, 108), drawn(768, 7), [], []
    for image_id, (image, _, _) in enumerate(small, start=1):
        found += predict([image])[0].to_coco(image_id)
    for image_id, (image, _, _) in enumerate(large, start=1):
        objects = tiles.predict_tiles(predict, image, Tiling(192, 96), detection)
        together += tiles.to_results(objects, image_id, (768, 768), ids)
    truths = [
        truth_of(scenes, lambda index, side=side: (index + 1, (side, side), (0, 0)))
        for scenes, side in ((small, 192), (large, 768))
    ]
    for kind in ("bbox", "segm"):
        alone = coco_metrics.score(truths[0], found, (kind,))[kind]
        tiled = coco_metrics.score(truths[1], together, (kind,), (1, 10, 1000))[kind]
        print(kind, alone["AP"], alone["AP50"], tiled["AP"], tiled["AP50"], len(found), len(together))
        assert alone["AP50"] > 0.2  # the model has learnt something
        assert tiled["AP"] > alone["AP"] - 0.03


def test_memory_does_not_grow_with_the_raster(model, scenes, tmp_path):
    rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")
    model.save(tmp_path / "model.keras")
    picture, side = np.moveaxis(mosaic(scenes[:100] * 4), -1, 0), 20_000
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": side, "width": side, "tiled": True}
    profile |= {"compress": "deflate", "zlevel": 1, "crs": "EPSG:32633"}
    profile |= {"transform": rasterio.Affine(0.1, 0, 500_000, 0, -0.1, 5_500_000)}
    with rasterio.open(tmp_path / "large.tif", "w", **profile) as file:
        for y in range(0, side, WHOLE[0]):
            for x in range(0, side, WHOLE[1]):
                part = picture[:, : side - y, : side - x]
                file.write(part, window=rasterio.windows.Window(x, y, *part.shape[:0:-1]))
    command = [sys.executable, "-c", MEMORY, "tools/predict_raster.py", "--model", str(tmp_path / "model.keras")]
    command += ["--input", str(tmp_path / "large.tif"), "--output", str(tmp_path / "found.geojson")]
    done = forked.run([*command, "--tile", "1000", "--overlap", "200"], timeout=3600)
    assert done.returncode == 0, done.stderr[-2000:]
    peak = int(done.stdout.split("peak")[1])
    print(peak / 1e9, done.stdout)
    assert peak < 3e9
    assert json.loads((tmp_path / "found.geojson").read_text())["type"] == "FeatureCollection"
