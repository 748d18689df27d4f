"""Parts of a run that need no training; whole runs are in test_resume.py."""

import json
import pathlib

import coco_files
import pytest
import tensorflow as tf
from tiny import tiny_model

from mask_rcnn_tf.config import Config, ShapesConfig, TrainConfig, to_dict
from mask_rcnn_tf.data import sources
from mask_rcnn_tf.training import fit
from mask_rcnn_tf.training.fit import segments
from mask_rcnn_tf.training.run_folder import check_same_run, facts, find_start
from mask_rcnn_tf.training.strategy import check_batch_size, check_norms, make_strategy


@pytest.mark.parametrize("every", [1, 3, 5, 20])
@pytest.mark.parametrize("start", range(13))
def test_segments_cover_every_step_once(start, every):
    steps, done, epoch_ends = 12, start, []
    for first, length, initial_epoch, epochs in segments(start, steps, every):
        assert first == done
        for epoch in range(initial_epoch, epochs):
            assert epoch == done // every
            done += length
            epoch_ends.append(done)
    assert done == max(start, steps)
    assert epoch_ends == [step for step in range(start + 1, steps + 1) if step % every == 0 or step == steps]


def test_one_call_of_fit_when_nothing_interrupts():
    assert segments(0, 90_000, 5000) == [(0, 5000, 0, 18)]
    assert segments(7, 23, 5) == [(7, 3, 1, 2), (10, 5, 2, 4), (20, 3, 4, 5)]


def test_another_configuration_in_the_folder_is_refused(tmp_path):
    config = Config()
    (tmp_path / "config.json").write_text(json.dumps(to_dict(Config(name="stopped before its first checkpoint"))))
    find_start(config, tmp_path)
    tf.train.Checkpoint(step=tf.Variable(0)).save(str(tmp_path / "checkpoints" / "step"))
    (tmp_path / "config.json").write_text(json.dumps(to_dict(config)))
    find_start(config, tmp_path)
    config.train.steps, config.eval.batch_size, config.train.summary_every = 5, 3, 7
    find_start(config, tmp_path)
    config.train.seed, config.data.canvases = 5, ((512, 512),)
    with pytest.raises(ValueError, match=r"data.canvases, train.seed differ: data.canvases was .*800.* and is .*512"):
        find_start(config, tmp_path)


def test_optimisation_may_change_and_says_so(tmp_path, caplog):
    config = Config()
    tf.train.Checkpoint(step=tf.Variable(0)).write(str(tmp_path / "checkpoints" / "step-1"))
    (tmp_path / "config.json").write_text(json.dumps(to_dict(config)))
    config.train.learning_rate, config.train.clip_norm, config.train.init_from = 0.005, 1.0, "gone.keras"
    path, note = find_start(config, tmp_path)
    assert path.endswith("step-1") and note == {}
    assert "another train.learning_rate: it was 0.02 and is 0.005" in caplog.text
    assert "another train.clip_norm: it was 0.0 and is 1.0" in caplog.text and "init_from" not in caplog.text


def test_moved_data_go_on_and_other_data_do_not(tmp_path, caplog):
    here, there = coco_files.write(tmp_path / "here"), coco_files.write(tmp_path / "there")
    ours, moved = (coco_files.config_for(data, tmp_path / "cache") for data in (here, there))
    for config in (ours, moved):
        config.data.val_annotations, config.data.val_images = config.data.train_annotations, config.data.train_images
    note = json.loads(json.dumps({name: give() for name, give in facts(ours).items()}))
    check_same_run(moved, tmp_path, note)
    assert not caplog.text
    path = pathlib.Path(moved.data.train_annotations)
    path.write_text(path.read_text() + " ")
    with pytest.raises(ValueError, match="data.train_annotations, .*data.val_annotations, .* differ: .*here.*there"):
        check_same_run(moved, tmp_path, note)
    path = pathlib.Path(ours.data.train_annotations)
    path.write_text(path.read_text() + " ")
    check_same_run(ours, tmp_path, note)
    assert "annotations.json has other contents than when the run was stored" in caplog.text


def test_a_damaged_record_is_one_line(tmp_path, monkeypatch):
    """A bit that a disk has lost shows while training reads."""
    config = Config()
    config.data.dataset, config.data.data_dir = "mrcnn_shapes", str(tmp_path / "data")
    config.data.shapes = ShapesConfig(size=48, train_scenes=6, val_scenes=2, max_side=24)
    list(sources.dataset(config, "train"))
    (records,) = (tmp_path / "data").rglob("*-train.tfrecord-*")
    content = bytearray(records.read_bytes())
    content[len(content) // 2] ^= 1
    records.write_bytes(content)
    monkeypatch.setattr(fit, "_train", lambda config, folder, stopping, truth: list(sources.dataset(config, "train")))
    message = "prepared there is damaged .corrupted record at .* tools/data_cache.py"
    with pytest.raises(ValueError, match=message) as error:
        fit.train(config, tmp_path / "run")
    assert "\n" not in str(error.value) and "{{" not in str(error.value)


def test_one_device_needs_no_strategy():
    strategy = make_strategy()
    assert strategy is tf.distribute.get_strategy()
    check_batch_size(Config(train=TrainConfig(batch_size=3)), strategy)


class TwoReplicas:
    num_replicas_in_sync = 2


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"batch_size": 3}, "config.train.batch_size is 3; allowed: a multiple of 2"),
        ({"batch_size": 12, "accumulation_steps": 4}, "accumulation_steps is 4; allowed: divisors of 6, the images"),
    ],
)
def test_batch_that_does_not_divide(fields, message):
    with pytest.raises(ValueError, match=message):
        check_batch_size(Config(train=TrainConfig(**fields)), TwoReplicas())


def test_synchronised_norms_of_replicas_that_accumulate_are_refused():
    model = tiny_model(norm="sync_batch_norm")
    check_norms(model, TwoReplicas())
    model.accumulation_steps = 2
    check_norms(model, tf.distribute.get_strategy())
    with pytest.raises(ValueError, match="accumulation_steps is 2; allowed on 2 replicas with 'sync_batch_norm': 1"):
        check_norms(model, TwoReplicas())
