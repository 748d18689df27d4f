"""Results in the form of Cityscapes' programs, read back as those read them, by hand."""

import drawn_city
import numpy as np
import pytest
from PIL import Image

from mask_rcnn_tf.data import cityscapes
from mask_rcnn_tf.evaluation.cityscapes_results import write_results


@pytest.fixture
def truth(tmp_path):
    drawn_city.write(tmp_path / "city")
    return cityscapes.to_coco(tmp_path / "city", "val", verbose=0)


def results_of(truth):
    rows = [row for row in truth["annotations"] if not row["iscrowd"] and row["image_id"] != 3]
    keys = ("image_id", "category_id", "bbox", "segmentation")
    return [{key: row[key] for key in keys} | {"score": 0.9 - i / 16} for i, row in enumerate(rows)]


def test_a_list_an_image_and_a_mask_an_object(truth, tmp_path):
    results = results_of(truth)
    assert write_results(truth, results, tmp_path / "out", verbose=0) == len(results) == 6
    read = []
    for stem in drawn_city.STEMS:
        lines = (tmp_path / "out" / f"{stem.split('/')[1]}_pred.txt").read_text().splitlines()
        for line in lines:
            name, label, score = line.split(" ")
            mask = np.asarray(Image.open(tmp_path / "out" / name).convert("L")) != 0
            read.append((drawn_city.STEMS.index(stem) + 1, int(label), float(score), mask))
    assert len(read) == 6 and (tmp_path / "out" / "bonn_000004_000019_pred.txt").read_text() == ""
    for (image_id, label, score, mask), row in zip(read, results, strict=True):
        assert (image_id, label, score) == (row["image_id"], row["category_id"], row["score"])
        value = {0.9: 24000, 0.9 - 1 / 16: 26000, 0.9 - 2 / 16: 26001}.get(score)
        if value and image_id == 1:
            np.testing.assert_array_equal(mask, drawn_city.values(0) == value)


def test_what_cannot_be_written_is_refused_before_anything_is(truth, tmp_path):
    results = results_of(truth)
    for change in ({"image_id": 9}, {"category_id": 1}):
        with pytest.raises(ValueError, match=r"^results\[1\] has image_id \d, category_id \d+ and a mask; allowed"):
            write_results(truth, [results[0], results[1] | change], tmp_path / "out", verbose=0)
    box = {key: value for key, value in results[0].items() if key != "segmentation"}
    with pytest.raises(ValueError, match=r"^results\[0\] has .* and no mask; allowed"):
        write_results(truth, [box], tmp_path / "out", verbose=0)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="^output is '.*city'; allowed: a folder that is to be, or an empty one"):
        write_results(truth, results, tmp_path / "city", verbose=0)
    truth["images"][0]["file_name"] = "one.png"
    with pytest.raises(ValueError, match="^image 'one.png'; allowed: names that end in _leftImg8bit.png"):
        write_results(truth, results, tmp_path / "out", verbose=0)
