"""Trains a configuration, or continues the run in the folder.

    python tools/train.py --config mask_rcnn_shapes --model_dir runs/demo --config.train.learning_rate=0.01

Writes checkpoints, log.jsonl, TensorBoard files, best.keras, model.keras and metrics.json to --model_dir.
"""

from absl import flags

from mask_rcnn_tf.training import flags as tool_flags
from mask_rcnn_tf.training.fit import train

CONFIG = tool_flags.define_config()
MODEL_DIR = flags.DEFINE_string("model_dir", None, "folder of the run", required=True)


def main(argv):
    """Trains."""
    del argv
    train(CONFIG.value, MODEL_DIR.value)


if __name__ == "__main__":
    tool_flags.run(main)
