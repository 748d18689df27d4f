"""SGD steps of torchvision's own Mask R-CNN R50-FPN, in float32 and in float64, to compare ours with.

Needs torch, torchvision (2.14.1 and 0.29.1 were used). Writes every loss of every step, and the RoIs that it trained
on; `references/compare_steps.py` does the same steps with our model and compares.

    python references/recipe_checkpoint.py --format torchvision --num_classes 6 --output recipe7.pth
    python references/torchvision_steps.py --checkpoint recipe7.pth --output torchvision_steps.npz
    python references/compare_steps.py --checkpoint recipe7.pth --reference torchvision_steps.npz
    python references/torchvision_steps.py --checkpoint recipe7.pth --same_proposals torchvision_steps.npz \
        --output same_proposals.npz

The scenes are those of `tests/golden/recipe.py`, two a step, new ones each time; with --annotations and --images (give
them to both programs) photos of different sizes in one batch, as `photo_scenes.py` cuts them. Batch norm is frozen with
epsilon 0, every convolution trains, and the samplers take evenly spaced candidates, so that there is nothing random.

Where two boxes overlap by almost exactly the threshold of NMS, or two scores are almost equal, float32 and float64
choose other proposals, and a loss jumps. With --same_proposals the float32 run, and ours after it, train on the
proposals of an earlier file's float64 run, so that such choices take no part.
"""

import argparse
import pathlib
import sys
import time

import numpy as np
import torch
from photo_scenes import SIDE, PhotoScenes
from torchvision.models.detection import _utils as det_utils
from torchvision_model import load

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "golden"))

import recipe

HEIGHT, WIDTH, IMAGES = 192, 256, 2
SGD = {"lr": 1e-6, "momentum": 0.9, "weight_decay": 1e-4}
OPTIONS = {
    "rpn_pre_nms_top_n_train": 300,
    "rpn_post_nms_top_n_train": 150,  # fewer than the RoIs sampled, 512: the order of two near scores changes nothing
}
LOSSES = ("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_mask")


def scenes(step):
    """The scenes of a step, as `recipe.make_scene` gives them."""
    return [recipe.make_scene(f"step{step}_{i}", HEIGHT, WIDTH) for i in range(IMAGES)]


class EvenSampler(det_utils.BalancedPositiveNegativeSampler):
    """Evenly spaced positives and negatives in index order, instead of random ones."""

    def __call__(self, matched_idxs):
        """Masks of the positives and of the negatives taken, an image each."""
        taken = [], []
        for matched in matched_idxs:
            room = self.batch_size_per_image
            limits = int(room * self.positive_fraction), room
            for masks, candidates, limit in zip(taken, (matched >= 1, matched == 0), limits, strict=True):
                indices = torch.where(candidates)[0]
                chosen = indices[torch.from_numpy(recipe.evenly(len(indices), min(limit, room)))]
                mask = torch.zeros_like(matched, dtype=torch.uint8)
                mask[chosen] = 1
                masks.append(mask)
                room -= len(chosen)
        return taken


class Samples:
    """What a model's RoI heads train on: records the proposals and samples of every step, or puts others' in place.

    Args:
        model: torchvision's; two of its methods are wrapped.
        given: proposals to take instead of the model's own, as `proposals` of another run; or None.
    """

    def __init__(self, model, given=None):
        self.proposals, self.rois, self.given = [], [], given
        self.filter, self.select = model.rpn.filter_proposals, model.roi_heads.select_training_samples
        model.rpn.filter_proposals = self.filter_proposals
        model.roi_heads.select_training_samples = self.select_training_samples

    def filter_proposals(self, *args):
        """torchvision's, recorded: boxes and scores, an image each."""
        boxes, scores = self.filter(*args)
        if self.given is not None:
            boxes = [torch.from_numpy(each).to(boxes[0].dtype) for each in self.given[len(self.proposals)]]
        self.proposals.append([each.numpy() for each in boxes])
        return boxes, scores

    def select_training_samples(self, proposals, targets):
        """torchvision's, recorded."""
        found = self.select(proposals, targets)
        self.rois.append([(rois.numpy(), labels.numpy()) for rois, labels in zip(found[0], found[2], strict=True)])
        return found

    def arrays(self, name):
        """What was recorded, by names for `np.savez`."""
        arrays = {}
        for step, (proposals, samples) in enumerate(zip(self.proposals, self.rois, strict=True)):
            for image, (boxes, (rois, labels)) in enumerate(zip(proposals, samples, strict=True)):
                found = {"proposals": boxes, "rois": rois, "labels": labels}
                arrays |= {f"{name}_{key}_{step}_{image}": value for key, value in found.items()}
        return arrays


def run(checkpoint, steps, dtype, scenes, sizes, proposals=None):
    """Losses [steps, 5] of training in a float type on `scenes(step)`, resized to `sizes`; and the `Samples`."""
    model = load("maskrcnn_resnet50_fpn", checkpoint, 0.0, **OPTIONS, **sizes).to(dtype).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # what the builder takes without weights; frozen is what it does
            module.eval().requires_grad_(False)
    model.rpn.fg_bg_sampler.__class__ = model.roi_heads.fg_bg_sampler.__class__ = EvenSampler
    samples = Samples(model, proposals)
    optimizer = torch.optim.SGD([value for value in model.parameters() if value.requires_grad], **SGD)
    losses = []
    for step in range(steps):
        start = time.perf_counter()
        batch = scenes(step)
        images = [torch.from_numpy(scene["image"]).permute(2, 0, 1).to(dtype) / 255 for scene in batch]
        targets = [
            {
                "boxes": torch.from_numpy(scene["boxes"]).to(dtype),
                "labels": torch.from_numpy(scene["labels"]),
                "masks": torch.from_numpy(scene["masks"]),
            }
            for scene in batch
        ]
        found = model(images, targets)
        optimizer.zero_grad()
        sum(found.values()).backward()
        optimizer.step()
        losses.append([found[name].item() for name in LOSSES])
        print(f"{dtype}, step {step}: {sum(losses[-1]):.6f}, {time.perf_counter() - start:.1f} s", flush=True)
    return np.array(losses, np.float64), samples


def read_double(path):
    """What the float64 run of an earlier output found."""
    earlier = np.load(path)
    return {name: earlier[name] for name in earlier if name.startswith("float64")}


def proposals_of(arrays):
    """Proposals [steps][images] of a float64 run."""
    steps = range(len(arrays["float64"]))
    return [[arrays[f"float64_proposals_{step}_{image}"] for image in range(IMAGES)] for step in steps]


def main():
    """Trains twice and writes the losses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--output", required=True, type=pathlib.Path, help="losses (.npz)")
    parser.add_argument("--annotations", type=pathlib.Path, help="COCO file: photos instead of drawn scenes")
    parser.add_argument("--images", type=pathlib.Path, help="folder of its images")
    parser.add_argument("--same_proposals", type=pathlib.Path, help="earlier output: its float64 run and proposals")
    args = parser.parse_args()
    source, sizes = scenes, {"min_size": HEIGHT, "max_size": WIDTH}
    if args.annotations:
        source, sizes = PhotoScenes(args.annotations, args.images), {"min_size": SIDE, "max_size": SIDE}
    if args.same_proposals:
        arrays = read_double(args.same_proposals)
        given = proposals_of(arrays)
    else:
        losses, samples = run(args.checkpoint, args.steps, torch.float64, source, sizes)
        arrays, given = {"float64": losses} | samples.arrays("float64"), None
    single, samples = run(args.checkpoint, len(arrays["float64"]), torch.float32, source, sizes, given)
    arrays |= {"float32": single, "same_proposals": np.array(given is not None)} | samples.arrays("float32")
    np.savez(args.output, names=np.array(LOSSES), **arrays)


if __name__ == "__main__":
    main()
