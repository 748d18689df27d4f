"""Fixtures shared by all tests."""

import os
import pathlib

import numpy as np
import pytest

GOLDEN = pathlib.Path(__file__).parent / "golden"
SHARED_DATA = pathlib.Path(
    os.environ.get("MASK_RCNN_TF_SHARED_DATA", pathlib.Path(__file__).parents[2] / "shared" / "data")
)


@pytest.fixture(scope="session")
def golden():
    """Loads a file of golden arrays by its stem: `golden("unit_boxes")["nms/one/in/boxes"]`."""
    return lambda stem: np.load(GOLDEN / f"{stem}.npz")


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real images with COCO annotations (not part of the project)."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real images are absent: {SHARED_DATA} (set MASK_RCNN_TF_SHARED_DATA)")
    return SHARED_DATA
