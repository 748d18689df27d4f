"""torchvision's Mask or Keypoint R-CNN R50-FPN, its stock parts, with our weights and scenes."""

import torch
from scenes import CLASSES
from torchvision.models.detection import KeypointRCNN, MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone


def build(size, tensors, heads="masks"):
    """torchvision's builder with frozen batch norm, epsilon 1e-5, three trainable stages."""
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=3)
    kind = {"masks": MaskRCNN, "keypoints": KeypointRCNN}[heads]
    model = kind(backbone, CLASSES[heads] + 1, min_size=min(size), max_size=max(size))
    model.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    return model


def compile_networks(model, compiler):
    """`torch.compile` for every part of constant shapes, or nearly."""
    heads = model.roi_heads
    model.backbone = compiler(model.backbone)
    model.rpn.head = compiler(model.rpn.head)
    heads.box_head = compiler(heads.box_head, dynamic=True)
    for head in ("mask", "keypoint"):
        networks = [getattr(heads, f"{head}_{part}") for part in ("head", "predictor")]
        if None not in networks:
            setattr(heads, f"{head}_head", compiler(torch.nn.Sequential(*networks), dynamic=True))
            setattr(heads, f"{head}_predictor", torch.nn.Identity())


def inputs(scenes, device):
    """Images and targets as torchvision's models take them, on the device."""
    images = [torch.from_numpy(image).to(device).permute(2, 0, 1).float() / 255 for image in scenes["images"]]
    names = {"boxes": "boxes", "labels": "classes", "masks": "masks"}
    targets = [
        {name: torch.from_numpy(scenes[ours][i]).to(device) for name, ours in names.items()} for i in range(len(images))
    ]
    return images, targets


def last_channels(model):
    """The model with channels last, its images too."""
    batch_images, last = model.transform.batch_images, torch.channels_last
    model.transform.batch_images = lambda *a, **k: batch_images(*a, **k).contiguous(memory_format=last)
    return model.to(memory_format=last)


def calls_of(model, precision, images, targets):
    """{task: the function that is timed}."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, 1e-6, momentum=0.9, weight_decay=1e-4)

    def infer():
        with torch.inference_mode(), precision:
            return model(images)

    def train():
        with precision:
            losses = model(images, targets)
        optimizer.zero_grad(set_to_none=True)
        sum(losses.values()).backward()
        optimizer.step()
        return losses

    return {"inference": infer, "training": train}
