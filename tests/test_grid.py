"""The pictures at the top of the README."""

import importlib.util
import pathlib

import pytest
from PIL import Image

import mask_rcnn_tf as mrcnn

DOCS = pathlib.Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def grid():
    spec = importlib.util.spec_from_file_location("grid", DOCS / "grid.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(path, grid):
    with Image.open(path) as picture:
        assert picture.width == 4 * (grid.SIDE + grid.GAP) + grid.GAP and picture.height > grid.SIDE
    assert path.stat().st_size < 200_000


def test_the_picture_is_small(grid):
    check(DOCS / "grid.jpg", grid)


@pytest.mark.slow
def test_it_is_drawn_with_and_without_masks(tmp_path, grid):
    for has_masks in (True, False):
        config = mrcnn.load_config("mask_keypoint_rcnn_shapes").model
        config.class_names = ("disc", "rectangle", "triangle", "star", "cross", "ring")
        config.category_ids, config.mask_head.enabled = tuple(range(1, 7)), has_masks
        mrcnn.MaskRCNN(config).save(tmp_path / "m.keras")
        grid.main(tmp_path / "m.keras", tmp_path / "grid.jpg")
        check(tmp_path / "grid.jpg", grid)
        assert grid.masks(mrcnn.load(tmp_path / "m.keras"))[0] == ("masks" if has_masks else "masks (labels)")
