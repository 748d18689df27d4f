import pytest

from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.output import written_whole


def everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_appears_whole(tmp_path):
    target = tmp_path / "models" / "a" / "1"
    with written_whole(target) as place:
        place.mkdir()
        (place / "weights").write_text("w")
        assert not target.exists()
    assert everything(tmp_path) == ["models", "models/a", "models/a/1", "models/a/1/weights"]


def test_nothing_stays_after_an_error(tmp_path):
    (tmp_path / "kept").mkdir()
    with pytest.raises(ZeroDivisionError), written_whole(tmp_path / "kept" / "new" / "m.tflite") as place:
        place.write_text("half")
        raise ZeroDivisionError
    assert everything(tmp_path) == ["kept"]


def test_what_exists_stays(tmp_path):
    target = tmp_path / "m.onnx"
    target.write_text("old")
    with pytest.raises(ExportError, match=r"output is '.*m.onnx'; it exists already"), written_whole(target):
        raise AssertionError("never reached")
    assert target.read_text() == "old"


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ExportError, match=r"output is '.*1'; its folder cannot be written: \w"),
        written_whole(tmp_path / "file" / "1"),
    ):
        raise AssertionError("never reached")
