"""Detectron2's test-time augmentation of the model of golden_d2A: GeneralizedRCNNWithTTA, one view at a time.

    PYTHONPATH=<Detectron2 02b5c4e2>:..:. python tta_oracle.py     -> golden_tta.npz     (torch 2.14.1, torchvision 0.29.1)

A batch of one: its own batches of three are padded to the largest view, and zeros around an image change features.
"""

import json
import sys
import types

sys.modules["conftest"] = types.SimpleNamespace(GOLDEN=__import__("pathlib").Path(__file__).parent)

import numpy as np
import torch
from detectron2 import model_zoo
from detectron2.modeling import build_model
from detectron2.modeling.test_time_augmentation import DatasetMapperTTA, GeneralizedRCNNWithTTA
from detectron2_names import golden_weights
from recipe import crc, make_scene

SCENE = ("sceneT", 190, 250)
SETTINGS = {
    "MODEL.DEVICE": "cpu",
    "MODEL.WEIGHTS": "",
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
    "MODEL.ROI_HEADS.NUM_CLASSES": 6,
    "MODEL.PIXEL_MEAN": [123.675, 116.28, 103.53],
    "MODEL.PIXEL_STD": [58.395, 57.12, 57.375],
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 300,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 150,
    "TEST.DETECTIONS_PER_IMAGE": 30,
    "INPUT.FORMAT": "RGB",
    "TEST.AUG.MIN_SIZES": [160, 224],
    "TEST.AUG.MAX_SIZE": 400,
    "TEST.AUG.FLIP": True,
}


def main():
    config = model_zoo.get_config("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml")
    config.merge_from_list([item for pair in SETTINGS.items() for item in pair])
    model = build_model(config).eval()
    weights = {name: torch.from_numpy(array.copy()) for name, array in golden_weights().items()}
    found = model.load_state_dict(weights, strict=False)
    assert not found.unexpected_keys and all("anchor" in n or "pixel" in n for n in found.missing_keys), found
    image = make_scene(*SCENE)["image"]
    augmented = GeneralizedRCNNWithTTA(config, model, DatasetMapperTTA(config), batch_size=1)
    averages = []
    reduce = augmented._reduce_pred_masks
    augmented._reduce_pred_masks = lambda *given: averages.append(reduce(*given)) or averages[0]
    with torch.no_grad():
        given = {"image": torch.from_numpy(image.transpose(2, 0, 1).copy()), "height": SCENE[1], "width": SCENE[2]}
        instances = augmented([given])[0]["instances"]
    arrays = {
        "boxes": instances.pred_boxes.tensor.numpy(),
        "scores": instances.scores.numpy(),
        "classes0": instances.pred_classes.numpy(),
        "masks": averages[0][:, 0].numpy(),
    }
    print({name: value.shape for name, value in arrays.items()}, arrays["scores"])
    meta = {"detectron2": "02b5c4e2", "scene": SCENE, "image_crc32": crc(image), "settings": SETTINGS}
    np.savez_compressed("golden_tta.npz", meta=np.array(json.dumps(meta)), **arrays)


if __name__ == "__main__":
    main()
