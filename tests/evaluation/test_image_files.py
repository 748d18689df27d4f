"""Which files are predicted: by what they hold, not by their names; and every other one is named."""

import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from mask_rcnn_tf.evaluation import image_files

PIXELS = Image.fromarray(np.full((4, 6, 3), 90, np.uint8))


@pytest.fixture
def folder(tmp_path):
    for name, form in (("a.JPG", "JPEG"), ("b.tif", "TIFF"), ("c.jfif", "JPEG"), ("d", "PNG"), ("e [1].jpe", "JPEG")):
        PIXELS.save(tmp_path / name, form)
    contents = {"damaged.jpg": b"no image", "empty.png": b"", "notes.txt": b"text", "._a.JPG": b"\0\5\x16\7"}
    contents |= {"p.heic": b"\0\0\0\x18ftypheic" + bytes(9), "q.jpg": b"\0\0\0\x1cftypavif" + bytes(9)}
    contents |= {"r.jp2": b"\0\0\0\x0cjP  \r\n\x87\n", "s.psd": b"8BPS", "t.pdf": b"%PDF-1.7"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "lost.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "sub.jpg").mkdir()
    PIXELS.save(tmp_path / "sub.jpg" / "z.png")
    return tmp_path


def test_a_folder(folder):
    names = ["a.JPG", "b.tif", "c.jfif", "d", "damaged.jpg", "e [1].jpe", "empty.png", "lost.jpg"]
    found = image_files.find_images(folder)
    assert [(file.image_id, file.file_name) for file in found] == list(enumerate(names, start=1))
    assert image_files.passed_over(folder) == {
        "AVIF is not read: convert it to PNG or JPEG": ["q.jpg"],
        "HEIC (or a video) is not read: convert it to PNG or JPEG": ["p.heic"],
        "JPEG 2000 is not read: convert it to PNG or JPEG": ["r.jp2"],
        "PDF is not read: convert it to PNG or JPEG": ["t.pdf"],
        "Photoshop's format is not read: convert it to PNG or JPEG": ["s.psd"],
        "no image": ["._a.JPG", "notes.txt"],
        "not a regular file": ["pipe.jpg"],
    }


def test_several_sources(folder):
    """As the shell expands a pattern, beside a pattern of one's own, each file once."""
    sources = [str(folder / "a.JPG"), str(folder / "e [1].jpe"), f"{folder}/*.tif", f"{folder}/**/z.png"]
    names = [file.file_name for file in image_files.find_images(*sources, folder / "a.JPG")]
    assert names == ["a.JPG", "b.tif", "e [1].jpe", os.path.join("sub.jpg", "z.png")]
    with pytest.raises(ValueError, match="input is '.*notes.txt'; there are no image files"):
        image_files.find_images(str(folder / "notes.txt"))
    with pytest.raises(ValueError, match="input is 0 paths; there are no image files"):
        image_files.find_images()


def test_names_that_cannot_be_printed():
    assert image_files.printable("a\udcffb\n\x1b[31m ü 空.png") == r"a\xffb\n\x1b[31m ü 空.png"
    assert image_files.printable(pathlib.Path("plain.png")) == "plain.png"


def test_places_of_pictures(tmp_path):
    """A name as long as a file system takes is cut; a picture never replaces an image."""
    for name in ("b" * 251 + ".png", "0001_a.jpg", "a.png", "c%d\n.png"):
        PIXELS.save(tmp_path / name)
    files = image_files.find_images(tmp_path)
    paths = image_files.picture_paths(files, tmp_path / "out")
    assert [path.name for path in paths.values()][:2] == ["0001_0001_a.jpg", "0002_a.jpg"]
    assert all(len(path.name) < 220 for path in paths.values())
    files = [image_files.ImageFile(id, tmp_path / name, name) for id, name in ((1, "a.png"), (2, "0001_a.jpg"))]
    with pytest.raises(ValueError, match="0001_a.jpg, an image, would be replaced"):
        image_files.picture_paths(files, tmp_path)


def test_a_home_that_the_shell_has_not_read():
    with pytest.raises(ValueError, match="input is '~/none'; .* The shell reads ~ only in front of a word"):
        image_files.find_images("~/none")
