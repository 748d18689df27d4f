"""A file is the old one or the new one, and a folder is there or not."""

import os

import pytest

from mask_rcnn_tf import whole_files


def test_the_old_one_until_the_end_and_on_the_disk_before_the_name(tmp_path, monkeypatch):
    path, synced = tmp_path / "a.json", []
    path.write_text("old")
    monkeypatch.setattr(
        os, "fsync", lambda number: synced.append((os.readlink(f"/proc/self/fd/{number}"), path.read_text()))
    )
    with whole_files.replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old" and partial.parent == tmp_path
    assert path.read_text() == "new" and synced == [(str(partial), "old")] and os.listdir(tmp_path) == ["a.json"]


def test_an_error_leaves_the_old_one_alone(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("old")
    with pytest.raises(KeyError), whole_files.replacing(path, "a.partial.png") as partial:
        assert partial == tmp_path / "a.partial.png"
        partial.write_text("half")
        raise KeyError
    with pytest.raises(FileNotFoundError), whole_files.replacing(path):
        pass  # nothing was written
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.png"]


def test_a_folder_with_all_of_its_files(tmp_path, monkeypatch):
    (tmp_path / "new" / "deep").mkdir(parents=True)
    names, synced = ("new/a", "new/deep/b"), []
    for name in names:
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.readlink(f"/proc/self/fd/{number}")))
    whole_files.put(tmp_path / "new", tmp_path / "there")
    assert sorted(synced) == [str(tmp_path / name) for name in names]
    assert (tmp_path / "there" / "deep" / "b").read_text() == "new/deep/b" and not (tmp_path / "new").exists()


def test_links_and_devices_stay_what_they_are(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(tmp_path / "elsewhere" / "a.json")
    with whole_files.replacing(link) as partial:
        partial.write_text("new")
    assert link.is_symlink() and (tmp_path / "elsewhere" / "a.json").read_text() == "new"
    os.mkfifo(pipe)
    with whole_files.replacing(pipe) as partial:
        assert partial == pipe
    assert pipe.is_fifo() and sorted(os.listdir(tmp_path)) == ["elsewhere", "link", "pipe"]
