"""Makes `before/`: a `.keras` file and a run's folder of the code before its parts could be composed (commit 0d32cd0).

    git worktree add before 0d32cd0 && cd before
    PYTHONPATH=. python ../tests/golden/make_before.py ../tests/golden/before

Files that people have must load: the model's detections, and a run of 4 of 8 steps to continue.
"""

import pathlib
import shutil
import sys

import keras
import numpy as np

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.training.fit import train

SIDE = 64


def small_config():
    config = mrcnn.load_config("mask_rcnn_shapes")
    model = config.model
    backbone = model.backbone
    backbone.stage_blocks, backbone.stage_channels, backbone.stem_channels = (1,) * 4, (4, 6, 8, 8), 4
    model.fpn.channels = model.rpn.channels = model.mask_head.channels = 8
    model.box_head.fc_channels, model.box_head.num_fcs, model.mask_head.num_convs = 16, 1, 1
    model.preprocess.short_side = model.preprocess.max_side = SIDE
    model.detection.max_detections, model.roi.samples, model.dtype = 10, 16, "float32"
    model.rpn.pre_nms_top_n_train = model.rpn.pre_nms_top_n_test = 60
    model.rpn.post_nms_top_n_train = model.rpn.post_nms_top_n_test = 24
    data, run = config.data, config.train
    data.canvases, data.train_short_sides = ((SIDE, SIDE),), (SIDE,)
    data.shapes.size, data.shapes.max_side = SIDE, 32
    data.shapes.train_scenes, data.shapes.val_scenes, data.gt_mask_size = 8, 2, 28
    run.batch_size, run.steps, run.checkpoint_every, run.evaluate_every, run.warmup_steps = 2, 4, 4, 4, 2
    run.summary_every = 2
    return config


def finding_model(config):
    """A model whose random weights are large enough to find things."""
    keras.utils.set_random_seed(5)
    model = mrcnn.MaskRCNN(config)
    factors = {"objectness/kernel": 60.0, "rpn_head/deltas/kernel": 20.0, "class_logits/kernel": 60.0}
    factors |= {"box_deltas/kernel": 300.0, "mask_head/kernel": 1000.0}
    for variable in model.weights:
        for ending, factor in factors.items():
            if variable.path.endswith(ending):
                variable.assign(variable * factor)
    return model


def images():
    return np.random.default_rng(0).integers(0, 256, (2, 60, 80, 3)).astype(np.uint8)


def main(folder):
    folder = pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = small_config()
    config.data.data_dir = str(folder / "data")
    train(config, folder / "run")
    model = config.model
    model.num_classes, model.class_names, model.category_ids = 3, ("ball", "box", "star"), (1, 7, 90)
    model = finding_model(model)
    model.save(folder / "model.keras")
    np.savez_compressed(folder / "detections.npz", **model.predict(images(), verbose=0))
    shutil.rmtree(folder / "data")
    for path in (folder / "run").iterdir():
        if path.name not in ("config.json", "checkpoints", "state.json", "log.jsonl"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    config = folder / "run" / "config.json"
    config.write_text(config.read_text().replace(str(folder / "data"), ""))


if __name__ == "__main__":
    main(sys.argv[1])
