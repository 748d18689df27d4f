"""Draws the pictures of docs/augmentation.md: a scene as it is, and three times as training with one option sees it.

python docs/augmentation/pictures.py docs/augmentation
"""

import pathlib
import sys
import tempfile

from PIL import Image

from mask_rcnn_tf import visualize
from mask_rcnn_tf.data import check, check_augmented, shapes
from mask_rcnn_tf.presets import load_config

OPTIONS = {
    "right_angles": True,
    "rotation": 30.0,
    "crop": 0.5,
    "brightness": 0.5,
    "contrast": 0.6,
    "saturation": 0.8,
    "hue": 0.2,
    "gamma": 1.5,
    "grey": 0.5,
    "blur": 3.0,
    "noise": 30.0,
    "jpeg_quality": 5,
    "scale_jitter": (0.3, 2.0),
    "copy_paste": 1.0,
}
TOGETHER = {"copy_paste": {"scale_jitter": (1.0, 1.0)}}
SCENE, DRAWS = 1, 3  # where every option shows


def write(name, scenes, output):
    """One option's picture."""
    config = load_config("mask_rcnn_shapes")
    config.data.flip_horizontal = config.data.flip_vertical = False
    config.data.data_dir = str(scenes.parent / "prepared")
    for field, value in {name: OPTIONS[name], **TOGETHER.get(name, {})}.items():
        setattr(config.data, field, value)
    samples = check.check(str(scenes / "annotations.json"), str(scenes), pictures=100)[2][SCENE : SCENE + 1]
    (row,) = check_augmented.rows(config, str(scenes / "annotations.json"), str(scenes), samples, DRAWS)
    drawn = [visualize.draw(one.image, one.boxes, None, one.masks, min_side=192) for one in row]
    sheet = Image.fromarray(visualize.grid(drawn, len(drawn), gap=6))
    sheet.save(output / f"{name}.jpg", quality=75)


def main(output):
    """Draws scenes, then every option."""
    with tempfile.TemporaryDirectory() as name:
        scenes = pathlib.Path(name) / "scenes"
        shapes.write_folder(load_config("mask_rcnn_shapes"), "val", scenes, 12)
        for option in OPTIONS:
            write(option, scenes, pathlib.Path(output))


if __name__ == "__main__":
    main(sys.argv[1])
