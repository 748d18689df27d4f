"""A folder as Cityscapes has it, drawn: two cities, small images with a few objects."""

import pathlib

import numpy as np
from PIL import Image

STEMS = ("aachen/aachen_000000_000019", "aachen/aachen_000001_000019", "bonn/bonn_000004_000019")


def values(index: int, height: int = 96, width: int = 192) -> np.ndarray:
    """What *_instanceIds.png holds: a road, two cars of which one is covered in part, a crowd of persons, a caravan."""
    ids = np.full((height, width), 7, np.uint16)
    ids[40:70, 20 + index : 60] = 26000
    ids[50:64, 40:80] = 26001  # in front
    ids[30:60, 100:140] = 24  # persons that nobody has told apart
    ids[20:60, 150:158] = 24000
    ids[70:90, 100:150] = 29000  # ignored by the benchmark
    ids[0:5] = 3  # out of the region of interest
    return ids


def write(root: pathlib.Path, split: str = "val") -> list[np.ndarray]:
    """Writes the folder; returns the values of each image in the order of names."""
    random, written = np.random.default_rng(0), []
    for index, stem in enumerate(STEMS):
        ids = values(index)
        for place, ending, array in (
            ("leftImg8bit", "_leftImg8bit.png", random.integers(0, 256, (*ids.shape, 3)).astype(np.uint8)),
            ("gtFine", "_gtFine_instanceIds.png", ids),
        ):
            path = root / place / split / f"{stem}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
        written.append(ids)
    return written
