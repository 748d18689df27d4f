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
from mask_rcnn_tf.data import shape_drawing, shapes
from mask_rcnn_tf.evaluation import coco_metrics, tiles
from mask_rcnn_tf.evaluation.tiles import Tiling

pytestmark = pytest.mark.slow  # a model is trained, and predicts some thousand tiles
DRAWN, SIDE, ACROSS = 192, 300, 20
MARGIN = 12  # pixels of a drawn scene in which it fades into its neighbour
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
        found.append((image, scene["classes"], enlarged(scene["masks"])))
    return found


def enlarged(masks):
    return [np.array(Image.fromarray(mask).resize((SIDE, SIDE), Image.Resampling.NEAREST)) for mask in masks]


def faded(picture):
    """Scenes fade into each other at their borders, whose straight lines would be objects to a model of shapes."""
    for _ in range(2):
        picture = picture.swapaxes(0, 1).astype(np.float32)
        weight = ((np.arange(2 * MARGIN, dtype=np.float32) + 0.5) / (2 * MARGIN))[:, None, None]
        for border in range(DRAWN, len(picture), DRAWN):
            before, after = picture[border - MARGIN : border], picture[border : border + MARGIN]
            before, after = np.concatenate([before, before[::-1]]), np.concatenate([after[::-1], after])
            picture[border - MARGIN : border + MARGIN] = before + weight * (after - before)
    return np.rint(picture).astype(np.uint8)


def whole_scenes(across):
    """A picture of across x across scenes whose objects lie inside, and the same scenes cut out of it again."""
    rng, drawn = np.random.default_rng(5), []
    edge = np.pad(np.zeros((DRAWN - 2 * MARGIN,) * 2, bool), MARGIN, constant_values=True)
    while len(drawn) < across**2:
        placed, owner = shape_drawing.place_shapes(rng, DRAWN, (3, 3), (16, 96))
        if (owner[edge] < 0).all():
            masks = owner == np.arange(3)[:, None, None]
            drawn.append((shape_drawing.paint(rng, DRAWN, placed), np.array([s.class_id for s in placed]), masks))
    rows = [np.concatenate([image for image, _, _ in drawn[i : i + across]], 1) for i in range(0, across**2, across)]
    picture = Image.fromarray(faded(np.concatenate(rows))).resize((SIDE * across,) * 2, Image.Resampling.BICUBIC)
    picture = np.array(picture)
    cells = (picture[y : y + SIDE, x : x + SIDE] for y, x in corners(across))
    return picture, [(cell, classes, enlarged(masks)) for cell, (_, classes, masks) in zip(cells, drawn, strict=True)]


def corners(across):
    return [(SIDE * row, SIDE * column) for row in range(across) for column in range(across)]


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


def compared(model, across):
    """AP of the scenes one by one, and of the picture that they are: {"bbox": (alone, tiled), "segm": ...}."""
    ids, predict, detection = range(1, 7), mrcnn.make_predictor(model), model.config.detection
    picture, scenes = whole_scenes(across)
    found = []
    for image_id, (image, _, _) in enumerate(scenes, start=1):
        found += predict([image])[0].to_coco(image_id)
    objects = tiles.predict_tiles(predict, picture, Tiling(SIDE, SIDE // 2), detection)
    together = tiles.to_results(objects, 1, picture.shape[:2], ids)
    one_by_one = truth_of(scenes, lambda index: (index + 1, (SIDE, SIDE), (0, 0)))
    as_a_whole = truth_of(scenes, lambda index: (1, picture.shape[:2], corners(across)[index]))
    aps = {}
    for kind in ("bbox", "segm"):
        alone = coco_metrics.score(one_by_one, found, (kind,))[kind]
        tiled = coco_metrics.score(as_a_whole, together, (kind,), (1, 10, 100_000))[kind]
        print(kind, alone["AP"], alone["AP50"], tiled["AP"], tiled["AP50"], len(found), len(together))
        aps[kind] = alone["AP"], tiled["AP"]
    return aps


def test_ap_of_a_picture_is_that_of_its_scenes(model):
    """A picture of 6000 x 6000 pixels made of 400 known scenes, in tiles that do not know where a scene begins."""
    for alone, tiled in compared(model, ACROSS).values():
        assert alone > 0.1  # the model has learnt something
        assert tiled == pytest.approx(alone, abs=0.01)


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
