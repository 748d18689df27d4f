"""Two scenes of different sizes, with objects at the right and at the bottom border. Needs only NumPy."""

import numpy as np
from recipe import make_scene

SCENES = (("sceneP1", 160, 224), ("sceneP2", 224, 144))  # (key, h, w); a canvas of 224 x 224


def bordered(key, height, width):
    """A scene of the recipe with two more objects: one at the right border, one at the bottom border."""
    scene = make_scene(key, height, width)
    masks = np.zeros([2, height, width], np.uint8)
    masks[0, height // 3 : 2 * height // 3, width - 50 :] = 1
    masks[0, height // 3 : height // 3 + 12, width - 50 : width - 30] = 0
    masks[1, height - 44 :, width // 4 : width // 4 + 60] = 1
    masks[1, height - 44 : height - 30, width // 4 : width // 4 + 20] = 0
    boxes = [(width - 50, height // 3, width, 2 * height // 3), (width // 4, height - 44, width // 4 + 60, height)]
    return {
        "image": scene["image"],
        "boxes": np.concatenate([scene["boxes"], np.array(boxes, np.float32)]),
        "labels": np.concatenate([scene["labels"], np.array([1, 2], scene["labels"].dtype)]),
        "masks": np.concatenate([scene["masks"], masks]),
    }
