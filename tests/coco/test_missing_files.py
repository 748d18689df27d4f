"""Why a file that an annotation file names is not there."""

import pathlib

import pytest

from mask_rcnn_tf.coco import missing_files


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.png", ""),  # it is there
        ("b.png", ""),
        ("A.PNG", "; there is 'a.png', which differs in case"),
        ("SUB/c.png", ""),
        ("sub\\c.png", "; file_name has backslashes, and with slashes the file is there: write slashes"),
        ("sub\\d.png", ""),
        ("http://x.org/a.png", "; file_name is an address, or a path of another machine"),
        ("C:/pictures/a.png", "; file_name is an address, or a path of another machine"),
        ("x" * 5000, ""),
    ],
)
def test_hints(tmp_path, name, said):
    (tmp_path / "sub").mkdir()
    for path in ("a.png", "sub/c.png"):
        (tmp_path / path).write_bytes(b"")
    assert missing_files.hint(tmp_path / pathlib.PurePosixPath(name)) == said


def test_a_folder_that_changes(tmp_path):
    assert missing_files.hint(tmp_path / "none" / "A.png") == missing_files.hint(tmp_path / "A.png") == ""
    (tmp_path / "a.png").write_bytes(b"")
    assert "there is 'a.png'" in missing_files.hint(tmp_path / "A.png")
