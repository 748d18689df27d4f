"""Writes a checkpoint of Mask R-CNN R50-FPN, -C4 or -DC5 with the weights of `tests/golden/recipe.py`, as others do.

Two programs that load the two formats have the same weights, so their results can be compared. The recipe is defined
over torchvision's names; Detectron2 has other names, background as the last class, and no background among boxes and
masks.

NumPy is enough for Detectron2's `.pkl`. A `.pth` needs torch (2.14.1 was used), a `.safetensors` needs safetensors.

python references/recipe_checkpoint.py --format detectron2 --absorb_std --output recipe.pkl
python references/recipe_checkpoint.py --format detectron2 --features c4 --absorb_std --output recipe_c4.pkl
python references/recipe_checkpoint.py --format detectron2 --rpn_alone --absorb_std --output recipe_rpn.pkl
python references/recipe_checkpoint.py --format detectron2 --model keypointrcnn_resnet50_fpn --num_classes 1 \\
    --absorb_std --output recipe_keypoints.pkl
python references/recipe_checkpoint.py --format torchvision --num_classes 90 --output recipe.pth
"""

import argparse
import json
import pathlib
import pickle
import re
import sys

import numpy as np

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "tests" / "golden"
sys.path.insert(0, str(GOLDEN))

import recipe  # noqa: E402

MODELS = ("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2", "keypointrcnn_resnet50_fpn")
STEM = "backbone.body.conv1.weight"
ROWS_OF_A_CLASS = {"box_predictor.cls_score": 1, "box_predictor.bbox_pred": 4, "mask_predictor.mask_fcn_logits": 1}
IMAGENET_STD = 255 * np.array([0.229, 0.224, 0.225])  # of the levels of R, G, B
DETECTRON2_NAMES = (  # torchvision's -> Detectron2's; more than one may apply to a name
    (r"^backbone\.body\.(conv|bn)1\.", r"backbone.bottom_up.stem.\g<1>1."),
    (r"^backbone\.body\.layer(\d)\.", lambda match: f"backbone.bottom_up.res{int(match[1]) + 1}."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"\.bn(\d)\.", r".conv\1.norm."),
    (r"^backbone\.fpn\.inner_blocks\.(\d)\.0\.", lambda match: f"backbone.fpn_lateral{int(match[1]) + 2}."),
    (r"^backbone\.fpn\.layer_blocks\.(\d)\.0\.", lambda match: f"backbone.fpn_output{int(match[1]) + 2}."),
    (r"^rpn\.head\.conv\.0\.0\.", "proposal_generator.rpn_head.conv."),
    (r"^rpn\.head\.cls_logits\.", "proposal_generator.rpn_head.objectness_logits."),
    (r"^rpn\.head\.bbox_pred\.", "proposal_generator.rpn_head.anchor_deltas."),
    (r"\.box_head\.(\d\.)?fc6\.", r".box_head.\1fc1."),
    (r"\.box_head\.(\d\.)?fc7\.", r".box_head.\1fc2."),
    (r"\.mask_head\.(\d)\.0\.", lambda match: f".mask_head.mask_fcn{int(match[1]) + 1}."),
    (r"\.mask_predictor\.conv5_mask\.", ".mask_head.deconv."),
    (r"\.mask_predictor\.mask_fcn_logits\.", ".mask_head.predictor."),
    (r"\.keypoint_head\.(\d+)\.", lambda match: f".keypoint_head.conv_fcn{int(match[1]) // 2 + 1}."),
    (r"\.keypoint_predictor\.kps_score_lowres\.", ".keypoint_head.score_lowres."),
)


def torchvision_tensors(num_classes, model=MODELS[0], key=""):
    """The recipe's weights under torchvision's names and layouts.

    Args:
        num_classes: Foreground classes.
        model: Name of torchvision's builder.
        key: Other than "" gives other random weights of the same distribution.

    Returns:
        dict: name -> f32 array; classes count from background, which is 0.

    Source: `tests/golden/torchvision_names.json`, which has the shapes for 90 foreground classes.
    """
    tensors = {}
    for name, shape in json.loads((GOLDEN / "torchvision_names.json").read_text())[model].items():
        if name.endswith(".num_batches_tracked"):
            continue
        layer = name.removeprefix("roi_heads.").rpartition(".")[0]
        if layer in ROWS_OF_A_CLASS:
            shape[0] = ROWS_OF_A_CLASS[layer] * (num_classes + 1)
        tensors[name] = recipe.fill_array(name, shape, key)
    return tensors


def without_pyramid(tensors, features, key=""):
    """The tensors of Detectron2's models without a pyramid, under torchvision's names: 15 anchors a cell.

    Args:
        tensors: As `torchvision_tensors` returns them.
        features: "c4", whose C5 is followed by the predictors, or "dc5", with FPN's heads on C5.
        key: As there.

    Returns:
        dict: name -> f32 array.
    """
    c4 = features == "c4"
    gone = ("backbone.fpn.", *(("roi_heads.box_head.", "roi_heads.mask_head.") if c4 else ()))
    kept = {name: array for name, array in tensors.items() if not name.startswith(gone)}
    inputs = {"rpn.head.conv.0.0": 1024 if c4 else 2048, "rpn.head.cls_logits": 1024 if c4 else 2048}
    inputs["rpn.head.bbox_pred"] = inputs["rpn.head.cls_logits"]
    if c4:
        inputs |= {"roi_heads.box_predictor.cls_score": 2048, "roi_heads.box_predictor.bbox_pred": 2048}
    else:
        inputs |= {"roi_heads.box_head.fc6": 2048 * 49, "roi_heads.mask_head.0.0": 2048}
    for layer, count in inputs.items():
        outputs, _, *kernel = kept[f"{layer}.weight"].shape
        outputs = count if layer == "rpn.head.conv.0.0" else outputs
        for name, shape in ((f"{layer}.weight", (outputs, count, *kernel)), (f"{layer}.bias", (outputs,))):
            kept[name] = recipe.fill_array(name, shape, key)
    if c4:
        name = "roi_heads.mask_predictor.conv5_mask.weight"
        kept[name] = recipe.fill_array(name, (2048, *kept[name].shape[1:]), key)
        for name in ("roi_heads.box_predictor.cls_score.weight", "roi_heads.box_predictor.bbox_pred.weight"):
            kept[name] = kept[name] * np.float32(
                3
            )  # the mean of a map is smaller than what fully connected layers give
    return with_anchors(kept, 15, key)


def with_anchors(tensors, count, key=""):
    """The tensors with an RPN for `count` anchors a cell instead of 3, every row of it its own."""
    rows = {"rpn.head.cls_logits": count, "rpn.head.bbox_pred": 4 * count}
    wider = {
        f"{layer}.{leaf}": (number, *tensors[f"{layer}.{leaf}"].shape[1:])
        for layer, number in rows.items()
        for leaf in ("weight", "bias")
    }
    return tensors | {name: recipe.fill_array(name, shape, key) for name, shape in wider.items()}


def deeper(tensors, key=""):
    """The tensors with the C4 of a ResNet-101, 23 blocks, whose names follow from the second of a ResNet-50."""
    second = {name: array.shape for name, array in tensors.items() if name.startswith("backbone.body.layer3.1.")}
    names = [(name.replace(".1.", f".{i}.", 1), shape) for i in range(6, 23) for name, shape in second.items()]
    return tensors | {name: recipe.fill_array(name, shape, key) for name, shape in names}


def cascade(tensors, key=""):
    """The tensors with three box heads, which have one box for all classes (after background's, as everywhere)."""
    result = {}
    for name, array in tensors.items():
        if not name.startswith(("roi_heads.box_head.", "roi_heads.box_predictor.")):
            result[name] = array
            continue
        shape = (8, *array.shape[1:]) if ".bbox_pred." in name else array.shape
        for i in range(3):
            stage = re.sub(r"^(roi_heads\.box_\w+)\.", rf"\1.{i}.", name)
            result[stage] = recipe.fill_array(name, shape, f"{key}stage {i} of ")
    return result


def rpn_alone(tensors):
    """The tensors of a ProposalNetwork: neither heads on RoIs, nor the C5 that a C4 model runs on them."""
    c5 = () if any(name.startswith("backbone.fpn.") for name in tensors) else ("backbone.body.layer4.",)
    return {name: array for name, array in tensors.items() if not name.startswith(("roi_heads.", *c5))}


def fast_rcnn(tensors):
    """The tensors of a detector on stored proposals, without masks."""
    gone = ("rpn.", "roi_heads.mask_head.", "roi_heads.mask_predictor.")
    return {name: array for name, array in tensors.items() if not name.startswith(gone)}


def absorb_std(tensors):
    """Makes the weights fit BGR levels with standard deviation 1, Detectron2's default, instead of RGB with ImageNet's.

    Without it the activations are 57 times larger than the recipe is made for: boxes are thin and every score is 1.

    Args:
        tensors: As `torchvision_tensors` returns them.

    Returns:
        dict: The same but for the stem.
    """
    stem = tensors[STEM].astype(np.float64) / IMAGENET_STD[:, None, None]
    return tensors | {STEM: np.ascontiguousarray(stem[:, ::-1]).astype(np.float32)}


def detectron2_tensors(tensors, features="fpn"):
    """Detectron2's names and class order, in torch's layouts.

    Args:
        tensors: As `torchvision_tensors` or `without_pyramid` return them.
        features: "fpn", or as `without_pyramid` takes it.

    Returns:
        dict: name -> f32 array. `cls_score` has background last, `bbox_pred` and the mask predictor have none.
    """
    result = {}
    for name, array in tensors.items():
        if ".cls_score." in name:
            array = np.roll(array, -1, axis=0)
        elif name.startswith("roi_heads.box_predictor.") and ".bbox_pred." in name:
            array = array[4:]
        elif ".mask_fcn_logits." in name:
            array = array[1:]
        for pattern, replacement in DETECTRON2_NAMES:
            name = re.sub(pattern, replacement, name)
        if features != "fpn":
            name = name.replace("backbone.bottom_up.", "backbone.")
        if features == "c4":
            name = name.replace("backbone.res5.", "roi_heads.res5.")
        result[name] = np.ascontiguousarray(array)
    return result


def write(tensors, path, form):
    """Writes one file.

    Args:
        tensors: name -> array.
        path: Where to; `.safetensors` chooses that format for torchvision.
        form: "torchvision" or "detectron2".
    """
    if form == "detectron2":
        with open(path, "wb") as file:
            pickle.dump({"model": tensors, "__author__": "recipe"}, file, protocol=2)
    elif path.suffix == ".safetensors":
        from safetensors import numpy as safetensors

        safetensors.save_file(tensors, path)
    else:
        import torch

        torch.save({name: torch.from_numpy(array) for name, array in tensors.items()}, path)


def main():
    """Writes the checkpoint that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", required=True, choices=("torchvision", "detectron2"))
    parser.add_argument("--model", default=MODELS[0], choices=MODELS, help="v2: for torchvision.")
    parser.add_argument("--num_classes", type=int, default=80, help="Foreground classes.")
    parser.add_argument("--key", default="", help="Any word: other random weights than the golden files'.")
    parser.add_argument("--anchors", type=int, default=3, help="Anchors a cell.")
    parser.add_argument("--features", default="fpn", choices=("fpn", "c4", "dc5"), help="Other than fpn: Detectron2's.")
    parser.add_argument("--depth", type=int, default=50, choices=(50, 101), help="Of the ResNet.")
    parser.add_argument("--cascade", action="store_true", help="Three box heads; for Detectron2.")
    parser.add_argument("--rpn_alone", action="store_true", help="No heads on RoIs (rpn_R_50_FPN_1x, _C4_1x).")
    parser.add_argument("--fast_rcnn", action="store_true", help="No RPN and no masks (fast_rcnn_R_50_FPN_1x).")
    parser.add_argument("--absorb_std", action="store_true", help="For BGR levels with std 1, Detectron2's default.")
    parser.add_argument("--output", required=True, type=pathlib.Path, help=".pkl, or .pth or .safetensors.")
    args = parser.parse_args()
    suffixes = {"torchvision": (".pth", ".safetensors"), "detectron2": (".pkl",)}[args.format]
    if args.output.suffix not in suffixes:
        parser.error(f"--output must end in {' or '.join(suffixes)} for {args.format}, got {args.output.name}.")
    if args.format == "detectron2" and args.model == MODELS[1]:
        parser.error(f"--model {args.model} is torchvision's alone.")
    if args.format != "detectron2" and args.features != "fpn":
        parser.error(f"--features {args.features} is Detectron2's alone.")
    tensors = torchvision_tensors(args.num_classes, args.model, args.key)
    if args.features != "fpn":
        tensors = without_pyramid(tensors, args.features, args.key)
    if args.anchors != 3:
        tensors = with_anchors(tensors, args.anchors, args.key)
    if args.depth == 101:
        tensors = deeper(tensors, args.key)
    if args.cascade:
        tensors = cascade(tensors, args.key)
    if args.rpn_alone:
        tensors = rpn_alone(tensors)
    if args.fast_rcnn:
        tensors = fast_rcnn(tensors)
    if args.absorb_std:
        tensors = absorb_std(tensors)
    if args.format == "detectron2":
        tensors = detectron2_tensors(tensors, args.features)
    write(tensors, args.output, args.format)
    print(f"{len(tensors)} tensors: {args.output}")


if __name__ == "__main__":
    main()
