"""Cross-validation: which files each run gets, and the figures together."""

import json
import statistics

import coco_files
import pytest

from mask_rcnn_tf.coco import reader
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.conversion.split_files import write_folds
from mask_rcnn_tf.training import fit, folds


@pytest.fixture
def data(tmp_path):
    folder = coco_files.write(tmp_path / "data", levels=range(10, 100, 10))
    write_folds(reader.read_annotations(folder / "annotations.json"), tmp_path / "folds", 3)
    return folder


def test_each_fold_is_scored_by_a_model_of_the_others(data, tmp_path, monkeypatch):
    seen, figures = [], iter((0.5, 0.25, 0.75))

    def train(config, folder):
        ids = [{row["id"] for row in json.loads(open(path).read())["images"]} for path in paths(config)]
        seen.append((folder, config.data.train_images, config.data.val_images, *ids))
        folder.mkdir(parents=True)
        table = {"AP": next(figures), "APl": -1.0, "per_category": {"cat": 0.5}}
        (folder / "metrics.json").write_text(json.dumps({"segm": table}))

    monkeypatch.setattr(fit, "train", train)
    config = Config()
    summary = folds.train_folds(config, tmp_path / "folds", str(data), tmp_path / "runs")
    assert [run[0].name for run in seen] == ["fold_1", "fold_2", "fold_3"]
    assert all(run[1:3] == (str(data), str(data)) for run in seen)
    assert all(len(trained) == 6 and trained | scored == set(range(1, 10)) for *_, trained, scored in seen)
    assert set.union(*(scored for *_, scored in seen)) == set(range(1, 10))
    assert summary["mean"] == {"segm": {"AP": 0.5, "APl": -1.0}}
    assert summary["std"]["segm"]["AP"] == pytest.approx(statistics.stdev([0.5, 0.25, 0.75]))
    assert json.loads((tmp_path / "runs" / "folds.json").read_text()) == summary
    assert config.data.train_annotations == ""


def paths(config):
    return config.data.train_annotations, config.data.val_annotations


def test_what_are_no_folds(data, tmp_path):
    with pytest.raises(
        ValueError, match=r"folds is '.*data', with 0 folds; allowed: a folder of tools/split.py --folds"
    ):
        folds.find_folds(data)
    (tmp_path / "folds" / "fold_2" / "val.json").unlink()
    with pytest.raises(ValueError, match=r"folds is '.*', without fold_2/val.json; allowed"):
        folds.find_folds(tmp_path / "folds")
    with pytest.raises(ValueError, match="with 0 folds"):
        folds.find_folds(tmp_path / "none")
