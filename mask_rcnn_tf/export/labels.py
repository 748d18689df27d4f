"""The labels that travel with an export."""

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.export.errors import ExportError


def label_map(config: ModelConfig) -> dict[str, str]:
    """{category id as str (JSON has no other keys): class name}, in the order of classes 1..C.

    Raises:
      ExportError: the model has no class names: whoever reads the export could not tell what it found.
    """
    if not config.class_names:
        raise ExportError(
            f"config.model.class_names is () and num_classes is {config.num_classes}; allowed: a name for each class. "
            "A model trained by tools/train.py has them; set model.config.class_names otherwise."
        )
    ids = config.category_ids or range(1, config.num_classes + 1)
    if any(not 0 < number < 2**31 for number in ids):
        raise ExportError(f"config.model.category_ids is {config.category_ids}; allowed in exports: 1 to 2**31 - 1.")
    return {str(number): name for number, name in zip(ids, config.class_names, strict=True)}
