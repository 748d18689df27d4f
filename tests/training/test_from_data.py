"""What `mrcnn.train` makes of a COCO file before anything trains; whole runs are in test_first_model_docs.py."""

import json

import coco_files
import pytest

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.config import to_dict
from mask_rcnn_tf.presets import load_config
from mask_rcnn_tf.training import fit, from_data


@pytest.fixture
def data(tmp_path):
    """Ten images, all of one category, with an object each."""
    return coco_files.write(tmp_path / "data", levels=range(10, 110, 10))


@pytest.fixture
def given(monkeypatch):
    """The configuration and folder that training would have got."""
    calls = []
    monkeypatch.setattr(fit, "train", lambda config, folder: calls.append((config, folder)))
    monkeypatch.setattr(from_data, "load_model", lambda folder: f"the model of {folder.name}")
    return calls


def test_a_fifth_of_the_images_is_held_out(data, tmp_path, given):
    run = tmp_path / "run"
    assert mrcnn.train(data / "annotations.json", data, run, epochs=3) == "the model of run"
    (config, folder), images = given[0], []
    assert folder == run and config.train.epochs == 3 and config.data.dataset == "coco_json"
    for split, count in (("train", 8), ("val", 2)):
        path = getattr(config.data, f"{split}_annotations")
        assert path == str(run / "data" / f"{split}.json") and getattr(config.data, f"{split}_images") == str(data)
        images.append({row["id"] for row in json.loads((run / "data" / f"{split}.json").read_text())["images"]})
        assert len(images[-1]) == count
    assert images[0] | images[1] == set(range(1, 11))


def test_a_run_that_goes_on_has_the_same_parts_and_settings(data, tmp_path, given):
    run, path = tmp_path / "run", data / "annotations.json"
    mrcnn.train(path, data, run)
    preset = run / "suggested.py"
    preset.write_text(
        preset.read_text().replace("return config", "config.train.learning_rate = 0.5\n    return config")
    )
    before = (run / "data" / "train.json").read_text()
    mrcnn.train(str(path), str(data), str(run), any_direction=True)
    assert given[1][0].train.learning_rate == 0.5 and (run / "data" / "train.json").read_text() == before
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"][2] = 7
    path.write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match="model_dir is '.*run', which holds a run on other annotations than .*new folder"
    ):
        mrcnn.train(path, data, run)


def test_named_files_and_a_configuration_are_taken(data, tmp_path, given):
    config, path = load_config("mask_rcnn_nuclei"), data / "annotations.json"
    before = to_dict(config)
    mrcnn.train(path, data, tmp_path / "run", val_annotations=path, config=config)
    ours = given[0][0]
    assert ours.name == "mask_rcnn_nuclei" and ours.train.steps == 3000 and ours.train.epochs == 0
    assert ours.data.val_annotations == ours.data.train_annotations == str(path) and ours.data.val_images == str(data)
    assert to_dict(config) == before and not (tmp_path / "run").exists()
    mrcnn.train(path, data, tmp_path / "run", val_annotations=path, val_images="elsewhere", any_direction=True)
    assert given[1][0].data.val_images == "elsewhere" and given[1][0].data.right_angles


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"val_images": "folder"}, "val_images is 'folder'; allowed without val_annotations: ''"),
        ({"config": {}}, "config is .*dict.*; allowed: a Config, or None"),
        ({"config": mrcnn.Config(), "any_direction": True}, "any_direction is True; allowed with config: False"),
        ({"annotations": 5}, "annotations is .*int.*; allowed: a path"),
        ({"annotations": "none.json"}, "annotations is 'none.json'; there is no such file"),
    ],
)
def test_mistakes(data, tmp_path, given, arguments, message):
    whole = {"annotations": data / "annotations.json", "images": data, "model_dir": tmp_path / "run"} | arguments
    with pytest.raises(ValueError, match=message):
        mrcnn.train(**whole)
    assert not given and not (tmp_path / "run").exists()


def test_a_configuration_for_fit_is_complete(data):
    path = data / "annotations.json"
    config = mrcnn.suggest_config(path, data, path, data)
    assert config.model.num_classes == 1 and config.model.class_names == ("cat",) and config.model.category_ids == (1,)
    assert config.data.train_images == str(data) and not config.data.right_angles
    assert mrcnn.suggest_config(path, data, path, data, any_direction=True).data.right_angles


def test_a_folder_of_a_run_is_its_best_model(tmp_path):
    with pytest.raises(
        ValueError, match="a folder without best.keras and model.keras; allowed: a .keras file, or a run"
    ):
        mrcnn.load(tmp_path)
    (tmp_path / "model.keras").write_bytes(b"last")
    (tmp_path / "best.keras").write_bytes(b"best")
    with pytest.raises(ValueError, match=r"best.keras' does not load"):
        mrcnn.load(tmp_path)
    (tmp_path / "best.keras").unlink()
    with pytest.raises(ValueError, match=r"model.keras' does not load"):
        mrcnn.load(str(tmp_path))
