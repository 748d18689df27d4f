"""Writes a model's weights under torchvision's names, to check the model in PyTorch.

    python tools/export_weights.py --model m.keras --output m.safetensors

`references/torchvision_model.py` builds torchvision's model from that file, and `tools/import_weights.py` ours,
with its configuration.
"""

from absl import flags

from mask_rcnn_tf.evaluation import files
from mask_rcnn_tf.training.flags import check_output, run
from mask_rcnn_tf.weights.exporter import save_torchvision

MODEL = flags.DEFINE_string("model", None, "Saved model (.keras).", required=True)
OUTPUT = flags.DEFINE_string("output", None, "Where to write the weights (.safetensors).", required=True)


def main(_: list[str]) -> None:
    """Exports and says where."""
    check_output(OUTPUT.value)
    save_torchvision(files.load_model(MODEL.value), OUTPUT.value)
    print(f"written to {OUTPUT.value}")


if __name__ == "__main__":
    run(main)
