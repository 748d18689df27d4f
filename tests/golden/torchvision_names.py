"""Writes torchvision_names.json: name -> shape of every tensor in the state_dict of torchvision's models.

Needs torch and torchvision 0.28.0:  python torchvision_names.py
"""

import json
import pathlib

import torchvision
from torchvision.models.detection import (
    keypointrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
)

NONE = {"weights": None, "weights_backbone": None}
MODELS = {
    "maskrcnn_resnet50_fpn": maskrcnn_resnet50_fpn(**NONE),
    "maskrcnn_resnet50_fpn_v2": maskrcnn_resnet50_fpn_v2(**NONE),
    "keypointrcnn_resnet50_fpn": keypointrcnn_resnet50_fpn(**NONE),
    "resnet50": torchvision.models.resnet50(),
}
shapes = {
    name: {key: list(value.shape) for key, value in model.state_dict().items()} for name, model in MODELS.items()
}
pathlib.Path(__file__).with_name("torchvision_names.json").write_text(json.dumps(shapes, separators=(",", ":")) + "\n")
