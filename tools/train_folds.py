"""Trains a model for each fold of a data set, and says how well they do together (cross-validation).

python tools/split.py --annotations a.json --output folds --folds 5
python tools/train_folds.py --config mask_rcnn_small --folds folds --images images --model_dir runs/folds

Stopped, the same command goes on where it was. folds.json has the figures of each fold, their mean and spread.
"""

from absl import flags

from mask_rcnn_tf.training import flags as tool_flags
from mask_rcnn_tf.training.folds import train_folds

CONFIG = tool_flags.define_config()
FOLDS = flags.DEFINE_string("folds", None, "Folder of tools/split.py --folds.", required=True)
IMAGES = flags.DEFINE_string("images", None, "Folder of the images.", required=True)
MODEL_DIR = flags.DEFINE_string("model_dir", None, "Folder of the runs.", required=True)


def main(_):
    """Trains, and prints the means."""
    try:
        summary = train_folds(CONFIG.value, FOLDS.value, IMAGES.value, MODEL_DIR.value)
    except KeyboardInterrupt:  # the log says where the run stands
        raise SystemExit(130) from None
    for kind, table in summary["mean"].items():
        spread = summary["std"][kind]
        figures = (f"{name} {table[name]:.4f} ± {spread[name]:.4f}" for name in ("AP", "AP50", "AP75") if name in table)
        print(f"{kind} {', '.join(figures)} over {len(summary['folds'])} folds")


if __name__ == "__main__":
    tool_flags.run(main)
