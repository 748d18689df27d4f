"""Trains a configuration, or continues the run in the folder.

    python tools/train.py --config mask_rcnn_shapes --model_dir runs/demo --config.train.learning_rate=0.01

Writes checkpoints, log.jsonl, TensorBoard files, best.keras, model.keras, metrics.json and report.html to --model_dir.
Ctrl-C, SIGTERM and SIGHUP (unless under nohup) store the step that is at work; the exit code is then 130, 143 or 129,
and the same command goes on from there.
"""

from absl import flags

from mask_rcnn_tf.training import flags as tool_flags
from mask_rcnn_tf.training.fit import train

CONFIG = tool_flags.define_config()
MODEL_DIR = flags.DEFINE_string("model_dir", None, "folder of the run", required=True)


def main(argv):
    """Trains; what goes wrong ends in one line."""
    del argv
    try:
        train(CONFIG.value, MODEL_DIR.value)
    except (ValueError, FloatingPointError, OSError) as error:
        raise SystemExit(f"train: {error}") from None
    except KeyboardInterrupt:  # the log says where the run stands
        raise SystemExit(130) from None


if __name__ == "__main__":
    tool_flags.run(main)
