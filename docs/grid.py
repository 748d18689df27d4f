"""Draws docs/grid.jpg, the pictures at the top of the README: drawn scenes, nobody's photographs.

    make demo
    python docs/grid.py runs/demo docs/grid.jpg

Scenes are held-out ones. What a model of the shapes has no head for is drawn from the labels, and called so.
"""

import pathlib
import sys
import tempfile

import numpy as np
from PIL import Image, ImageDraw

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf import visualize
from mask_rcnn_tf.config import ShapesConfig
from mask_rcnn_tf.data import check, check_augmented, shapes
from mask_rcnn_tf.evaluation import tiles

SIDE, GAP, QUALITY = 384, 8, 70  # pixels of a picture and between pictures; of JPEG
MASKS, KEYPOINTS, LARGE, VARIED = 11, 7, 3, 1  # numbers of the scenes
MIN_SCORE = 0.7
LARGE_SCENES = ShapesConfig(size=576, min_objects=30, max_objects=36)
TILING, SHOWN = tiles.Tiling(192, 64), 12  # and the number of the tile that is drawn
AUGMENTATION = {"rotation": 40.0, "crop": 0.6, "brightness": 0.4, "hue": 0.1, "flip_vertical": True}


def found(model, image):
    """What is found for sure in an image, drawn."""
    return np.asarray(mrcnn.make_predictor(model)([image])[0].select(min_score=MIN_SCORE).plot(image))


def masks(model):
    """A title, and a scene with the masks that are found in it, or with its labels."""
    scene = shapes.draw_scene(ShapesConfig(), "val", MASKS)
    if model.config.has_masks:
        return "masks", found(model, scene["image"])
    classes = scene["classes"]
    names = [model.config.class_names[index - 1] for index in classes]
    objects = scene["boxes"], names, scene["masks"]
    return "masks (labels)", visualize.draw(scene["image"], *objects, color_numbers=classes, min_side=SIDE)


def keypoints(model):
    """A title, and a scene with the keypoints that are found in it."""
    return "keypoints", found(model, shapes.draw_scene(ShapesConfig(), "val", KEYPOINTS)["image"])


def large(model):
    """A title, and what is found in an image of three times the side, with one of the tiles that it is cut into."""
    image = shapes.draw_scene(LARGE_SCENES, "val", LARGE)["image"]
    pieces = tiles.predict_tiles(mrcnn.make_predictor(model), image, TILING, model.config.detection)
    results = tiles.to_results(pieces, 0, image.shape[:2], model.config.category_ids)
    sure = [result for result in results if result["score"] >= MIN_SCORE]
    colors = [visualize.color(result["category_id"]) for result in sure]
    picture = Image.fromarray(visualize.draw_labelled(image, sure, [""] * len(sure), colors))
    y1, x1, y2, x2 = tiles.grid(image.shape[:2], TILING)[SHOWN]
    ImageDraw.Draw(picture).rectangle((x1, y1, x2 - 1, y2 - 1), outline="white", width=4)
    return "in tiles", np.asarray(picture)


def views(folder):
    """A title, and a scene with three views of it that training sees."""
    config = mrcnn.load_config("mask_rcnn_shapes")
    config.data.data_dir = str(folder / "prepared")
    for field, value in AUGMENTATION.items():
        setattr(config.data, field, value)
    shapes.write_folder(config, "val", folder / "scenes", VARIED + 1)
    files = str(folder / "scenes" / "annotations.json"), str(folder / "scenes")
    samples = check.check(*files, pictures=VARIED + 1)[2][VARIED:]
    (row,) = check_augmented.rows(config, *files, samples, 3)
    drawn = [visualize.draw(one.image, one.boxes, None, one.masks, min_side=192) for one in row]
    return "augmentation", visualize.grid(drawn, 2, gap=2)


def main(model_path, output):
    """Draws the grid."""
    model = mrcnn.load(model_path)
    with tempfile.TemporaryDirectory() as folder:
        pictures = [masks(model), keypoints(model), large(model), views(pathlib.Path(folder))]
    cells = [Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS) for _, picture in pictures]
    sheet = visualize.grid([np.asarray(cell) for cell in cells], 4, [title for title, _ in pictures], GAP)
    Image.fromarray(sheet).save(output, quality=QUALITY)


if __name__ == "__main__":
    main(*sys.argv[1:])
