"""Converts another project's checkpoint into a model that predicts at once.

    python tools/import_weights.py --from torchvision --checkpoint maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth \
        --output coco.keras

Without --config the preset is the one that gives the source's behaviour; docs/weights.md lists them. Nothing in the
checkpoint is executed.
"""

import pathlib
import sys

from absl import flags

from mask_rcnn_tf.training import flags as tool_flags
from mask_rcnn_tf.training.checkpoint import save_model
from mask_rcnn_tf.weights.importer import SOURCES, import_checkpoint

CONFIG = tool_flags.define_config()
FROM = flags.DEFINE_enum("from", None, list(SOURCES), "Project that the checkpoint comes from.", required=True)
CHECKPOINT = flags.DEFINE_string("checkpoint", None, "The file, or resnet50/resnet101 from Keras.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "Where to write the model (.keras).", required=True)


def main(_):
    """Converts; a wrong argument ends in one line."""
    config = CONFIG.value if flags.FLAGS["config"].present else None
    path = pathlib.Path(OUTPUT.value)
    if path.suffix != ".keras":
        sys.exit(f"import_weights: output is {str(path)!r}; allowed: a name that ends in .keras.")
    try:
        model, report = import_checkpoint(FROM.value, CHECKPOINT.value, config)
    except ValueError as error:
        sys.exit(f"import_weights: {error}")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(model, path)
    print("\n".join([*report.lines(), f"{model.config.num_classes} classes, written to {path}"]))


if __name__ == "__main__":
    tool_flags.run(main, config_required=False)
