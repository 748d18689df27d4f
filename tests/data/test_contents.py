"""One prepared copy for equal contents, another for others, whatever paths and times say."""

import hashlib
import os
import pathlib
import shutil
import time

import coco_files
import pytest

from mask_rcnn_tf.data import coco, contents, records


@pytest.fixture
def data(tmp_path):
    return coco_files.write(tmp_path / "data")


@pytest.fixture
def files_read(monkeypatch):
    """Names of the files that are hashed from now on."""
    names, digest = [], hashlib.file_digest

    def observed(file, algorithm):
        names.append(pathlib.Path(file.name).name)
        return digest(file, algorithm)

    monkeypatch.setattr(hashlib, "file_digest", observed)
    return names


@pytest.fixture
def later(monkeypatch):
    """The clock of this program, ten seconds ahead of that of the files."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10 * 10**9)


def levels(folder, cache):
    found = coco.dataset(coco_files.config_for(folder, cache), "train").map(records.decoded)
    return [int(record["image"][0, 0, 0]) for record in found]


def copies(cache):
    return len(list((cache / "coco_json").glob("train_*")))


def test_paths_and_times_make_no_second_copy(data, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    assert levels(data, cache) == [10, 20]
    os.utime(data / "1.bmp", (1, 1))
    os.utime(data / "annotations.json")
    assert levels(data, cache) == [10, 20]
    (tmp_path / "link").symlink_to(data)
    assert levels(tmp_path / "link", cache) == [10, 20]
    monkeypatch.chdir(tmp_path)
    assert levels(pathlib.Path("data"), cache) == [10, 20]
    shutil.copytree(data, tmp_path / "copy")
    assert levels(tmp_path / "copy", cache) == [10, 20]
    data.rename(tmp_path / "moved")
    config = coco_files.config_for(tmp_path / "moved", cache)
    assert levels(tmp_path / "moved", cache) == [10, 20]
    assert coco.report(config, "train").annotations_file == config.data.train_annotations
    assert copies(cache) == 1


def test_other_contents_of_the_same_size_are_seen(data, tmp_path, later):
    cache = tmp_path / "cache"
    levels(data, cache)
    before = os.stat(data / "2.bmp")
    time.sleep(0.02)  # a file system's clock ticks every few milliseconds
    coco_files.paint(data, 2, 30)
    assert os.stat(data / "2.bmp").st_size == before.st_size
    assert levels(data, cache) == [10, 30]
    time.sleep(0.02)
    coco_files.paint(data, 2, 40)
    os.utime(data / "2.bmp", ns=(before.st_atime_ns, before.st_mtime_ns))  # as `cp -p` and `rsync -t` do
    assert levels(data, cache) == [10, 40]
    assert copies(cache) == 3


def test_only_what_may_have_changed_is_read(data, tmp_path, files_read, later):
    cache = tmp_path / "cache"
    levels(data, cache)
    assert sorted(files_read) == ["1.bmp", "2.bmp"]
    levels(data, cache)
    assert len(files_read) == 2
    os.utime(data / "1.bmp")
    levels(data, cache)
    assert files_read[2:] == ["1.bmp"]


def test_a_file_changed_a_moment_ago_is_read_again(data, tmp_path, files_read):
    """Two changes within one tick of the file system's clock leave the same time."""
    levels(data, tmp_path / "cache")
    levels(data, tmp_path / "cache")
    assert len(files_read) == 4


def test_damaged_memory_is_no_error(data, tmp_path, later):
    cache = tmp_path / "cache"
    levels(data, cache)
    (memory,) = (cache / "coco_json" / "digests").iterdir()
    memory.write_text(memory.read_text()[:-7])
    assert levels(data, cache) == [10, 20] and copies(cache) == 1


def test_a_folder_that_cannot_be_written_keeps_nothing(data, tmp_path, files_read, later):
    """A file stands where the digests would be kept: the name is right all the same."""
    source = contents.Source("train", "a.json", str(data), "00", {})
    expected = contents.set_name(source, ["1.bmp"], str(tmp_path / "cache"))
    (tmp_path / "file").write_text("")
    assert [contents.set_name(source, ["1.bmp"], str(tmp_path / "file")) for _ in range(2)] == [expected] * 2
    assert len(files_read) == 3
    contents.record_use(tmp_path / "file" / "set", source)
    assert contents.read_source(tmp_path / "file" / "set") is None


def test_order_and_options_count():
    source = contents.Source("train", "a.json", "/nowhere", "00", {"strict": False})
    other = contents.Source("train", "a.json", "/nowhere", "00", {"strict": True})
    names = {contents.set_name(source, names, "/nowhere") for names in (["a"], ["a", "b"])}
    assert len(names | {contents.set_name(other, ["a"], "/nowhere")}) == 3


def test_source_is_kept(tmp_path):
    source = contents.Source("val", "/a.json", "/b", "00", {"category_ids": [3, 7]})
    contents.record_use(tmp_path, source)
    assert contents.read_source(tmp_path) == source
    contents.record_use(tmp_path)
    assert contents.read_source(tmp_path) is None
