"""Memory, file descriptors and threads stay what they are: 2000 steps, and 500 image sizes in 8 threads."""

import concurrent.futures
import os
import pathlib

import numpy as np
import pytest
from tiny import finding_model

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf import load_config
from mask_rcnn_tf.training.callbacks import StepLog
from mask_rcnn_tf.training.fit import train


def usage():
    """(resident MB, file descriptors, threads) of this process."""
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) // 1024, len(os.listdir("/proc/self/fd")), int(status["Threads"])


@pytest.mark.slow
def test_2000_steps(tmp_path, monkeypatch):
    config = load_config(str(pathlib.Path(__file__).with_name("tiny_config.py")))
    config.data.data_dir = str(tmp_path / "data")
    config.train.steps, config.train.evaluate_every, config.train.checkpoint_every = 2000, 250, 100
    config.train.summary_every, samples, step = 50, {}, StepLog.on_step

    def measuring(log, number, logs):
        step(log, number, logs)
        if number % 250 == 125:
            samples[number] = usage()

    monkeypatch.setattr(StepLog, "on_step", measuring)
    train(config, tmp_path / "run")
    print(samples)
    memory, descriptors, threads = (np.array([sample[kind] for sample in samples.values()]) for kind in range(3))
    # From the second epoch on: the first evaluation has traced prediction.
    assert memory[-1] <= memory[2] + 40 and len(memory) == 8
    assert descriptors[-1] <= descriptors[2] and threads[-1] <= threads[2]


@pytest.mark.slow
def test_500_sizes_in_8_threads():
    model, random = finding_model(), np.random.default_rng(0)
    sizes = {tuple(int(side) for side in random.integers(40, 200, 2)) for _ in range(520)}
    images = [random.integers(0, 256, (*size, 3), np.uint8) for size in sorted(sizes)[:500]]

    def predict(image):
        return next(iter(mrcnn.predict_images(model, [image])))

    alone = [predict(image) for image in images]
    before = usage()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(2):
            together = list(pool.map(predict, images))
            for ours, theirs in zip(together, alone, strict=True):
                assert ours.keys() == theirs.keys() and len(ours["detection_boxes"])
                for name, value in ours.items():
                    np.testing.assert_array_equal(value, theirs[name], name)
    after = usage()
    print(before, after)
    assert after[0] <= before[0] + 60 and after[1] <= before[1] and after[2] <= before[2] + 8
