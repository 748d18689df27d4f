"""Fixtures shared by all tests."""

import fcntl
import os
import pathlib

import numpy as np
import pytest

# Before TensorFlow is imported. XLA then compiles faster and the program runs slower, which tests run once.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

GOLDEN = pathlib.Path(__file__).parent / "golden"
SHARED_DATA = pathlib.Path(
    os.environ.get("MASK_RCNN_TF_SHARED_DATA", pathlib.Path(__file__).parents[2] / "shared" / "data")
)


# The files that take longest, longest first: a file stays in one process, and what starts last leaves the other idle.
# First those that take longest with their slow tests; without these they are short.
FIRST = (
    "test_deploy_docs.py",
    "test_every_preset.py",
    "test_experiment_docs.py",
    "test_kills.py",
    "test_fuzz_coco.py",
    "test_readme.py",
    "test_golden_keypoints.py",
    "test_mask_rcnn.py",
    "test_to_saved_model.py",
    "test_keypoints.py",
    "test_to_tflite.py",
    "test_xla.py",
    "test_golden_inference.py",
    "test_openness.py",
    "test_golden_training.py",
    "test_roi_align.py",
    "test_to_onnx.py",
    "test_assumptions.py",
    "test_replicas.py",
    "test_pipeline.py",
    "test_golden_padded.py",
    "test_rpn_finite.py",
    "test_export.py",
    "test_malformed.py",
    "test_clients.py",
    "test_benchmark.py",
)


def pytest_collection_modifyitems(items):
    order = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))  # stable: the others keep their order


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


@pytest.fixture(scope="session")
def served_models(tmp_path_factory):
    """A folder as TF Serving reads it: `mask_rcnn/1` is the SavedModel of a tiny model that finds things.

    Tests read it, and write nothing there.
    """
    from tiny import finding_model

    from mask_rcnn_tf.export.check_images import drawn_scenes

    run = tmp_path_factory.getbasetemp()
    run = run.parent if "PYTEST_XDIST_WORKER" in os.environ else run  # one for all processes of the run
    folder = run / "served_models"
    folder.mkdir(exist_ok=True)
    with (run / "served_models.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "mask_rcnn" / "1").exists():  # it appears whole
            model = finding_model()
            model.export(folder / "mask_rcnn" / "1", images=drawn_scenes(model.config, 1))
    return folder


@pytest.fixture(scope="session")
def served_signatures(served_models):
    """The signatures of that SavedModel, in this process."""
    import tensorflow as tf

    return tf.saved_model.load(str(served_models / "mask_rcnn" / "1")).signatures
