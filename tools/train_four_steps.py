"""Trains RPN and detector in turns until they share a backbone, or continues the runs in the folder.

    python tools/train_four_steps.py --config mask_rcnn_shapes --model_dir runs/four

Faster R-CNN's section 3.2: RPN; detector on its proposals; RPN on the detector's backbone, which is frozen; the
detector's own layers on the same. Each is a run of --config.train.steps in a folder below --model_dir, where
model.keras and metrics.json are at the end. Ctrl-C and SIGTERM are as in tools/train.py; the same command goes on.
"""

from absl import flags

from mask_rcnn_tf.training import flags as tool_flags
from mask_rcnn_tf.training.four_steps import train_four_steps

CONFIG = tool_flags.define_config()
MODEL_DIR = flags.DEFINE_string("model_dir", None, "folder of the four runs", required=True)


def main(argv):
    """Trains; what goes wrong ends in one line."""
    del argv
    try:
        train_four_steps(CONFIG.value, MODEL_DIR.value)
    except (ValueError, FloatingPointError, OSError) as error:
        raise SystemExit(f"train_four_steps: {error}") from None
    except KeyboardInterrupt:  # the log says where the run stands
        raise SystemExit(130) from None


if __name__ == "__main__":
    tool_flags.run(main)
