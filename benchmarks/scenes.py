"""What both projects see, drawn by NumPy alone."""

import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "references"), str(ROOT / "tests" / "golden")]

import recipe  # noqa: E402
from recipe_checkpoint import MODELS, torchvision_tensors  # noqa: E402

CLASSES = {"masks": 90, "keypoints": 1}  # of torchvision's models of each


def make_scenes(batch, height, width):
    """Images uint8 [B, H, W, 3]; boxes [B, G, 4] (x1, y1, x2, y2), classes 1..90, masks 0 or 1 [B, G, H, W]."""
    drawn = [recipe.make_scene(f"gpu{i}", height, width, num_classes=CLASSES["masks"] + 1) for i in range(batch)]
    count = min(len(scene["boxes"]) for scene in drawn)  # hidden objects are dropped
    names = {"boxes": "boxes", "classes": "labels", "masks": "masks"}
    scenes = {name: np.stack([scene[theirs][:count] for scene in drawn]) for name, theirs in names.items()}
    return {"images": np.stack([scene["image"] for scene in drawn]), **scenes}


def normalized(images):
    """torchvision's network input, float32, of images uint8 [B, H, W, 3] in RGB."""
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    return (images.astype(np.float32) / np.float32(255) - mean) / std


def make_weights(heads="masks"):
    """torchvision's tensors by name, a formula of their names (`tests/golden/recipe.py`), of a model of `CLASSES`."""
    return torchvision_tensors(CLASSES[heads], {"masks": MODELS[0], "keypoints": MODELS[2]}[heads])
