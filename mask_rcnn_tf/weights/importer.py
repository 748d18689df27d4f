"""From a checkpoint of another project to a model of ours."""

from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.mapping import Report, assign, shorten
from mask_rcnn_tf.weights.projects import detectron, detectron2, keras_applications, matterport, torchvision
from mask_rcnn_tf.weights.readers.checkpoints import read_checkpoint

SOURCES = {
    "torchvision": torchvision,
    "detectron2": detectron2,
    "detectron": detectron,
    "matterport": matterport,
    "keras": keras_applications,
}


def import_checkpoint(source, path, config=None) -> tuple[MaskRCNN, Report]:
    """Builds the model of a checkpoint; nothing in the file is executed.

    Args:
      source: the project it comes from, a key of `SOURCES`.
      path: the file; for "keras" also "resnet50" or "resnet101", whose ImageNet weights Keras downloads.
      config: a `Config` that the checkpoint fits, or None for the preset that gives its behaviour, with its number of
        classes, and COCO's names and ids where it has COCO's number.

    Returns:
      The model, not compiled, and what became of every tensor and variable.

    Raises:
      ValueError: `source` is none of these.
      CheckpointError: the file cannot be read, or does not fit.
    """
    if source not in SOURCES:
        raise ValueError(f"source is {source!r}; allowed: {', '.join(SOURCES)}.")
    mapping = SOURCES[source]
    try:
        tensors = mapping.download(path) if path in getattr(mapping, "DOWNLOADS", ()) else read_checkpoint(path)
    except CheckpointError as error:
        raise _located(error, source, path) from error
    try:
        tensors = mapping.prepare(tensors) if hasattr(mapping, "prepare") else tensors
        config = mapping.make_config(tensors) if config is None else config
        model = MaskRCNN(config.model)
        report = assign(model, mapping.make_entries(model, tensors), tensors, mapping.IGNORED)
    except CheckpointError as error:
        raise _located(error, source, path, f" The checkpoint's first names: {shorten(list(tensors))}.") from error
    return model, report


def _located(error, source, path, names=""):
    """The error with the file in it, once, and what the file holds."""
    text = str(error) + names
    return CheckpointError(text if str(path) in text else f"{path}, read as {source}: {text}")
