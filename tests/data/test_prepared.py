"""Listing and removing prepared sets: what is stale, and that nothing else is touched."""

import json
import os
import pathlib
import shutil
import signal
import sys

import coco_files
import forked
import pytest

from mask_rcnn_tf.config import Config, ShapesConfig
from mask_rcnn_tf.data import coco, locks, preparation, prepared, shapes

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "data_cache.py"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A cache with a set of an annotation file and one of scenes, and a folder of the data."""
    folder = tmp_path_factory.mktemp("made")
    data = coco_files.write(folder / "data")
    coco.report(coco_files.config_for(data, folder / "cache"), "train")
    config = Config()
    config.data.data_dir = str(folder / "cache")
    config.data.shapes = ShapesConfig(size=48, train_scenes=2, val_scenes=1, max_side=24)
    shapes.dataset(config, "val")
    return folder


@pytest.fixture
def cache(made, tmp_path, monkeypatch):
    """A copy of that, whose set was made from the copy."""
    shutil.copytree(made / "data", tmp_path / "data")
    shutil.copytree(made / "cache", tmp_path / "cache")
    (note,) = (tmp_path / "cache").glob("coco_json/*/*/made_from.json")
    note.write_text(note.read_text().replace(str(made), str(tmp_path)))
    return tmp_path / "cache"


def listed(cache):
    return {found.name.partition("/")[0]: found for found in prepared.prepared_sets(str(cache))}


def test_list(cache):
    found = listed(cache)
    ours, scenes = found["coco_json"], found["mrcnn_shapes"]
    assert (ours.num_images, scenes.num_images, ours.stale, scenes.stale) == (2, 3, "", "")
    assert ours.source.annotations == str(cache.parent / "data" / "annotations.json") and ours.source.split == "train"
    assert ours.num_bytes == sum(path.stat().st_size for path in ours.folder.iterdir()) and ours.used >= ours.created
    text = prepared.table(list(found.values()))
    assert ours.name in text and ours.source.annotations in text and "2 prepared sets" in text and "0 stale" in text


def change_annotations(data):
    content = json.loads((data / "annotations.json").read_text())
    content["annotations"].pop()
    (data / "annotations.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: (data / "annotations.json").unlink(), "annotations are gone"),
        (change_annotations, "annotations have changed"),
        (lambda data: coco_files.paint(data, 2, 90), "images have changed or are gone"),
        (lambda data: (data / "1.bmp").unlink(), "images have changed or are gone"),
        (lambda data: os.utime(data / "1.bmp", (1, 1)), ""),
    ],
    ids=["gone", "changed", "image changed", "image gone", "touched"],
)
def test_stale(cache, change, why):
    change(cache.parent / "data")
    assert listed(cache)["coco_json"].stale == why
    removed = prepared.remove(str(cache), ["stale"])
    assert [found.stale for found in removed] == [why] * bool(why)
    assert set(listed(cache)) == ({"mrcnn_shapes"} if why else {"coco_json", "mrcnn_shapes"})


def test_leftovers_and_what_is_not_ours(cache):
    name = "train_" + 20 * "0"
    leftovers = [cache / "coco_json" / name / last for last in ("incomplete.AB12CD_1.4.0", "1.0.0", "1.4.0")]
    kept = [cache / "coco_json" / "my_notes" / "1.0.0", cache / "cifar10" / "plain" / "1.0.0", cache / "elsewhere"]
    for folder in leftovers + kept:
        folder.mkdir(parents=True)
        (folder / "file").write_text("x" * 1000)
    (cache / "coco_json" / ("val_" + 20 * "0")).symlink_to(cache / "coco_json" / name)
    (leftovers[1] / "dataset_info.json").write_text(json.dumps({"splits": [{"shardLengths": ["3", "4"]}]}))
    found = {found.folder: found for found in prepared.prepared_sets(str(cache))}
    assert len(found) == 5 and [found[folder].num_images for folder in leftovers] == [None, 7, None]
    assert [found[folder].stale for folder in leftovers] == ["", "version 1.0.0; today's is 1.4.0", ""]  # at work now
    for folder in (leftovers[0], leftovers[2]):
        os.utime(folder / "file", (1, 1))
        os.utime(folder, (1, 1))
    assert [one.folder for one in prepared.remove(str(cache), ["stale"])] == [*leftovers[1:], leftovers[0]]
    assert all((folder / "file").is_file() for folder in kept) and len(listed(cache)) == 2
    assert not (cache / "coco_json" / name).exists()


def test_tool_removes_by_name(cache):
    ours, scenes = listed(cache)["coco_json"], listed(cache)["mrcnn_shapes"]
    with pytest.raises(ValueError, match="remove is 'all'; allowed: 'stale', 'coco_json/train_"):
        prepared.remove(str(cache), [ours.name, "all"])
    assert len(listed(cache)) == 2
    command = [sys.executable, str(TOOL), f"--data_dir={cache}", f"--remove={ours.name}"]
    printed = forked.run(command, check=True).stdout
    assert printed.startswith("removed:") and ours.name in printed and scenes.name not in printed
    assert set(listed(cache)) == {"mrcnn_shapes"} and (cache.parent / "data" / "1.bmp").is_file()
    failed = forked.run([*command[:2], "--data_dir=nowhere"])
    assert failed.returncode == 1 and "data_cache: data_dir is 'nowhere'; there is no such folder." in failed.stderr


def test_what_a_process_reads_or_prepares_stays(cache):
    name = listed(cache)["coco_json"].name
    folder = cache / name
    for what, does in ((preparation.READING, "reads"), ("", "prepares")):
        lock = preparation.lock_file(folder, what)
        lock.parent.mkdir(exist_ok=True)
        take = locks.share if what else locks.take
        program = (
            "import time; from mask_rcnn_tf.data import locks; "
            f"locks.{take.__name__}({str(lock)!r}); print(flush=True); time.sleep(60)"
        )
        holder = forked.Process([sys.executable, "-c", program])
        holder.wait_for_line()
        with pytest.raises(ValueError, match=f"^remove is '{name}'; process {holder.pid} on .* {does} it; allowed"):
            prepared.remove(str(cache), [name, "stale"])
        holder.send_signal(signal.SIGTERM)
        holder.communicate()
    assert set(listed(cache)) == {"coco_json", "mrcnn_shapes"}
    assert [found.name for found in prepared.remove(str(cache), [name])] == [name]


def test_reading_is_a_lock(made):
    folder = made / "cache" / listed(made / "cache")["coco_json"].name
    with pytest.raises(BlockingIOError, match=f"process {os.getpid()} on"):  # `made` has read it
        locks.take(preparation.lock_file(folder, preparation.READING))
