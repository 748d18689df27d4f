"""Dataclasses of one experiment: the model, its data, its training and its scoring.

Plain, mutable and typed, so that `ml_collections.config_flags` overrides any leaf from the command line
(`--config.train.learning_rate=0.01`). Models and tools copy the configuration and call `Config.validate` once. This
module has all sections; each file beside it those of one part.
"""

import dataclasses

from mask_rcnn_tf.config.data import DataConfig, ShapesConfig
from mask_rcnn_tf.config.heads import BoxHeadConfig, KeypointHeadConfig, MaskHeadConfig
from mask_rcnn_tf.config.model import (
    AnchorConfig,
    BackboneConfig,
    DetectionConfig,
    FpnConfig,
    ModelConfig,
    PreprocessConfig,
    RoiConfig,
    RpnConfig,
)
from mask_rcnn_tf.config.person import person_keypoints
from mask_rcnn_tf.config.training import AugmentationConfig, EvalConfig, TrainConfig
from mask_rcnn_tf.fields import Section, check_fields, from_dict, section, to_dict
from mask_rcnn_tf.validation import NORMS, check_relations, validate_model

__all__ = [
    "AnchorConfig",
    "AugmentationConfig",
    "BackboneConfig",
    "BoxHeadConfig",
    "Config",
    "DataConfig",
    "DetectionConfig",
    "EvalConfig",
    "FpnConfig",
    "KeypointHeadConfig",
    "MaskHeadConfig",
    "ModelConfig",
    "NORMS",
    "PreprocessConfig",
    "RoiConfig",
    "RpnConfig",
    "ShapesConfig",
    "TrainConfig",
    "check_fields",
    "from_dict",
    "person_keypoints",
    "to_dict",
    "validate_model",
]


@dataclasses.dataclass
class Config(Section):
    """One experiment."""

    name: str = ""  # of the experiment
    model: ModelConfig = section(ModelConfig)
    data: DataConfig = section(DataConfig)
    train: TrainConfig = section(TrainConfig)
    eval: EvalConfig = section(EvalConfig)

    def validate(self) -> "Config":
        """Checks every section. Returns self. Raises ValueError naming the field, what came and what is allowed."""
        check_fields(self, "")
        check_relations(self)
        return self
