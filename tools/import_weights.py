"""Converts another project's checkpoint into a model that predicts at once.

    python tools/import_weights.py --from torchvision --checkpoint maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth \
        --output coco.keras

Without --config the preset is the one that gives the source's behaviour; docs/weights.md lists them. What the file does
not say is assumed, and printed; the other flags say it. Nothing in the checkpoint is executed.
"""

import ast
import pathlib

from absl import flags

from mask_rcnn_tf.training import flags as tool_flags
from mask_rcnn_tf.training.checkpoint import save_model
from mask_rcnn_tf.weights.importer import SOURCES, import_checkpoint

CONFIG = tool_flags.define_config()
FROM = flags.DEFINE_enum("from", None, list(SOURCES), "Project that the checkpoint comes from.", required=True)
CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "The file; from Keras also a name: resnet50, ConvNeXtTiny.", required=True
)
OUTPUT = flags.DEFINE_string("output", None, "Where to write the model (.keras).", required=True)
CLASS_NAMES = flags.DEFINE_list("class_names", [], "Names of the classes in their order: cat,dog.")
ANCHOR_SIZES = flags.DEFINE_string("anchor_sizes", "()", "Sides in pixels on P2..P6: '((32, 45), (64, 90), ...)'.")
NORM_EPSILON = flags.DEFINE_float("norm_epsilon", None, "Of the backbone's batch norms.")


@flags.validator("anchor_sizes", message="allowed: a tuple of sides in pixels for each of P2..P6")
def _is_sizes(text: str) -> bool:
    try:
        return all(float(side) > 0 for sides in ast.literal_eval(text) for side in sides)
    except (ValueError, TypeError, SyntaxError):
        return False


def main(_: list[str]) -> None:
    """Converts, and says what was assumed and where the model is."""
    config = CONFIG.value if flags.FLAGS["config"].present else None
    path = pathlib.Path(OUTPUT.value)
    if path.suffix != ".keras":
        raise ValueError(f"output is {str(path)!r}; allowed: a name that ends in .keras.")
    tool_flags.check_output(path)
    model, report = import_checkpoint(
        FROM.value,
        CHECKPOINT.value,
        config,
        class_names=CLASS_NAMES.value,
        anchor_sizes=ast.literal_eval(ANCHOR_SIZES.value),
        norm_epsilon=NORM_EPSILON.value,
    )
    save_model(model, path)
    print("\n".join([*report.lines(), f"{model.config.num_classes} classes, written to {path}"]))


if __name__ == "__main__":
    tool_flags.run(main, config_required=False)
