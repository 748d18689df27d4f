"""What few images are enough for: our Mask R-CNN beside torchvision's, and what our settings add. Hours of CPU.

    python3 -m venv tv && tv/bin/pip install torch==2.14.1 torchvision==0.29.1 pycocotools numpy pillow
    python references/small_data.py --torch_python tv/bin/python --output runs/small_data \
        --annotations nuclei/train/annotations.json --images nuclei/train/images \
        --val_annotations nuclei/val/annotations.json --val_images nuclei/val/images

Every row is trained from scratch on the first n images of a shuffle by the seed, so that 20 are among the 50 and rows
of one seed see the same ones, and scored by pycocotools on all validation images:

  torchvision  its own Mask R-CNN (`small_data_torchvision.py`), ResNet-18 with a pyramid, batch norms that train
  ours         the same model of ours, from the very weights that torchvision starts with; the same images, canvases,
               batches, flips (both ways, nothing else), Adam and learning rates; the order of images is another
  suggested    what `mrcnn.train` takes for these images without up and down: a smaller model, images enlarged
  augmented    that, with --augment; docs/augmentation.md has what for which data
  preset       one made by hand (--preset)

Each run has a folder, and a line in runs.jsonl: who, n, seed, the figures of masks (segm) and boxes (bbox), seconds and
CPU seconds of its process from its start to its results. What has a line is not run again: the same command goes on
where it was killed. The tables, in table.md after every run, are mean ± standard deviation over seeds, and what a row
has more than the first, seed by seed.

All rows see --seen images (800: 200 steps of 4), so that no gain is one of training longer; the presets' own schedules
have fifteen times as many. `mask_rcnn_nuclei` has a mask AP of 0.3 at 256 pixels by then (docs/fine_tuning.md). On an
AVX-512 core that was busy with other work a step of 4 images took 2.5 to 3.5 s (torchvision and ours), 2.5 s
(suggested), 1.9 s (mask_rcnn_nuclei), and our start with its graphs a minute: eight to twelve minutes a run, half of it
with --seen 400. Two threads that share their cores with others wait for each other and take twice the CPU seconds, so
pin a queue to a core of its own (taskset -c 0 python ...). Why what `torchvision` and `ours` share is what it is:
- 256 pixels, heads as wide as those of `mask_rcnn_small`, lengths in pixels a quarter of torchvision's (anchors of 8 to
  128, RoIs of 56 from P4), whose images have 800. With its full widths a step takes four times as long.
- One canvas for lying and square images: batches of the images of one microscope alone teach batch norm two sets of
  statistics, and neither is that of their mean, which it predicts with.
- Adam at 1e-3 with clipping, a warm-up over an eighth of the run and a cosine to 0, as in `mask_rcnn_small`: SGD from
  random weights ends lower after as many steps. Batches of 4, since at that rate smaller ones are too noisy.

The hand-made presets against what is suggested, at the length of the presets (hours each):

    python references/small_data.py ... --output runs/preset_nuclei --rows preset suggested --numbers 200 --seen 12000
    python tools/write_shapes.py --split train --output scenes/train --count 3000
    python tools/write_shapes.py --split val --output scenes/val --count 200
    python references/small_data.py --rows preset suggested --preset mask_rcnn_shapes --numbers 3000 --seen 20800 \
        --annotations scenes/train/annotations.json --images scenes/train --output runs/preset_shapes \
        --val_annotations scenes/val/annotations.json --val_images scenes/val
"""

import argparse
import json
import pathlib
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from mask_rcnn_tf.coco import reader  # noqa: E402
from mask_rcnn_tf.coco.results import write_json  # noqa: E402
from mask_rcnn_tf.config import Config, DataConfig, to_dict  # noqa: E402
from mask_rcnn_tf.evaluation import coco_metrics  # noqa: E402
from mask_rcnn_tf.experiments.summary import markdown  # noqa: E402
from mask_rcnn_tf.experiments.tables import Table  # noqa: E402
from mask_rcnn_tf.presets import load_config  # noqa: E402
from mask_rcnn_tf.training import data_statistics, fit, suggestion  # noqa: E402
from mask_rcnn_tf.training.schedule import make_schedule  # noqa: E402
from mask_rcnn_tf.training.storage import write_atomically  # noqa: E402

ROWS = ("torchvision", "ours", "suggested", "augmented", "preset")
SHARED = ROWS[:2]
QUARTER = 1 / 4  # of torchvision's lengths in pixels
MAY_CHANGE = ("rows", "numbers", "seeds", "torch_python", "output")  # between two starts on one folder


def first_images(content: dict, number: int, seed: int) -> dict:
    """A COCO file's first images in a shuffle, in the file's order, with their annotations.

    Raises:
      ValueError: it has fewer.
    """
    images = content["images"]
    if not 1 <= number <= len(images):
        raise ValueError(f"numbers has {number}; allowed: 1 to {len(images)}, the images of --annotations.")
    chosen = {images[index]["id"] for index in np.random.default_rng(seed).permutation(len(images))[:number]}
    rows = [row for row in content["annotations"] if row["image_id"] in chosen]
    return {**content, "images": [image for image in images if image["id"] in chosen], "annotations": rows}


def shared_config(args: argparse.Namespace) -> Config:
    """What torchvision and ours train: torchvision's behaviour with ResNet-18 and the heads of `mask_rcnn_small`."""
    config, small = load_config("torchvision_mask_rcnn_r50_fpn"), load_config("mask_rcnn_small").model
    model, data, train = config.model, config.data, config.train
    backbone = model.backbone
    backbone.block, backbone.stage_blocks = "basic", (2, 2, 2, 2)
    backbone.norm, backbone.norm_epsilon, backbone.frozen_stages = "batch_norm", 1e-5, 0
    model.preprocess.short_side, model.preprocess.max_side = args.sides
    model.fpn.channels, model.rpn.channels = small.fpn.channels, small.rpn.channels
    model.box_head.fc_channels = small.box_head.fc_channels
    model.mask_head.num_convs, model.mask_head.channels = small.mask_head.num_convs, small.mask_head.channels
    model.anchors.sizes = tuple((QUARTER * size,) for (size,) in model.anchors.sizes)
    model.roi.canonical_size *= QUARTER
    model.rpn.pre_nms_top_n_train = model.rpn.pre_nms_top_n_test = 500
    model.rpn.post_nms_top_n_train = model.rpn.post_nms_top_n_test = 300
    model.roi.samples = 128
    short, long = args.sides
    data.train_short_sides, data.canvases = (short,), ((short, long), (long, short))
    data.flip_vertical, data.cache = True, True
    train.optimizer, train.learning_rate, train.adam_beta_2 = "adam", 1e-3, 0.99
    train.weight_decay, train.clip_norm = 0.0, 5.0
    train.schedule, train.warmup_steps, train.batch_size = "cosine", 50, 4
    return config


def configured(row: str, args: argparse.Namespace, annotations: pathlib.Path, seed: int) -> Config:
    """The configuration of a run, complete."""
    if row in SHARED:
        config = shared_config(args)
    elif row == "preset":
        config = load_config(args.preset)
    else:
        statistics_of_data = data_statistics.read(annotations)
        config = suggestion.configured(suggestion.suggest(statistics_of_data, any_direction=True, pixels=args.pixels))
    if row == "augmented":
        for name, value in args.augment:
            setattr(config.data, name, value)
    data, train = config.data, config.train
    data.dataset, data.data_dir = "coco_json", str(args.output / "prepared")
    data.train_annotations, data.train_images = str(annotations), args.images
    data.val_annotations, data.val_images = args.val_annotations, args.val_images
    train.steps = round(args.seen / train.batch_size)
    train.warmup_steps = min(train.warmup_steps, train.steps // 8)
    train.seed = config.model.seed = seed
    return fit.resolve(config)


def run(row: str, number: int, seed: int, args: argparse.Namespace) -> dict:
    """Trains and scores one row; its line.

    Raises:
      RuntimeError: a process failed.
    """
    folder = args.output / f"{row}-{number}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed: its seconds would not be counted
    folder.mkdir(parents=True)
    annotations = folder / "train.json"
    write_json(first_images(reader.read_annotations(args.annotations), number, seed), annotations)
    config = configured(row, args, annotations, seed)
    initial = args.output / f"initial-{seed}.pth"
    rates = [float(rate) for rate in make_schedule(config.train)(np.arange(config.train.steps)).numpy()]
    job = {"config": to_dict(config), "learning_rates": rates, "initial": str(initial) if row in SHARED else ""}
    (folder / "job.json").write_text(json.dumps(job))
    torchvision = [args.torch_python, HERE / "small_data_torchvision.py", folder / "job.json"]
    if row in SHARED and not initial.exists():
        call([*torchvision, "--initial"], folder)
    command = torchvision if row == "torchvision" else [sys.executable, HERE / "small_data_ours.py", torchvision[-1]]
    begin, used = time.monotonic(), cpu_seconds()
    call(command, folder)
    line = {"who": row, "n": number, "seed": seed}
    line |= {"seconds": round(time.monotonic() - begin, 1), "cpu_seconds": round(cpu_seconds() - used, 1)}
    scores = coco_metrics.score(args.val_annotations, json.loads((folder / "results.json").read_text()))
    return line | {kind: scores[kind] for kind in ("segm", "bbox")}


def call(command: list, folder: pathlib.Path):
    """Runs a program whose lines go to the run's log.txt."""
    with open(folder / "log.txt", "a") as log:
        code = subprocess.run(list(map(str, command)), stdout=log, stderr=subprocess.STDOUT).returncode
    if code:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {code}; {folder / 'log.txt'} says why.")


def cpu_seconds() -> float:
    """Of all processes that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def tables(lines: list[dict]) -> str:
    """Markdown of what was run: a table for each number of images, and the CPU minutes of a run."""
    names = list(dict.fromkeys(line["who"] for line in lines))
    text = []
    for number in sorted({line["n"] for line in lines}):
        runs = {(line["who"], line["seed"]): line for line in lines if line["n"] == number}
        text.append(markdown(Table(f"{number} images", {name: {} for name in names}), runs))
        minutes = {name: [line["cpu_seconds"] / 60 for (who, _), line in runs.items() if who == name] for name in names}
        said = (f"{name} {statistics.mean(values):.1f}" for name, values in minutes.items() if values)
        text.append(f"CPU minutes a run: {', '.join(said)}.\n")
    return "\n".join(text)


def check_settings(args: argparse.Namespace):
    """Notes what the folder's runs have in common. Raises ValueError where it holds runs of other settings."""
    settings = {name: value for name, value in vars(args).items() if name not in MAY_CHANGE}
    path = args.output / "settings.json"
    args.output.mkdir(parents=True, exist_ok=True)
    before = json.loads(path.read_text()) if path.exists() else settings
    for name, value in settings.items():
        if before.get(name) != value:
            raise ValueError(f"{name} is {value}; allowed in {args.output}, whose runs have it so: {before.get(name)}.")
    write_atomically(path, json.dumps(settings))


def augmentation(text: str) -> list:
    """A field of config.data and its value, of "brightness=0.2"."""
    name, _, value = text.partition("=")
    if not isinstance(getattr(DataConfig(), name, None), float):
        raise argparse.ArgumentTypeError(f"{text} is no number of config.data; allowed: such as brightness=0.2.")
    return [name, float(value)]


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", required=True, help="COCO file whose first images are trained on")
    parser.add_argument("--images", required=True, help="folder of its images")
    parser.add_argument("--val_annotations", required=True, help="COCO file that all are scored on")
    parser.add_argument("--val_images", required=True, help="folder of its images")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/small_data"))
    parser.add_argument("--torch_python", default="", help="Python with torch, for torchvision and ours")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--numbers", nargs="+", type=int, default=[20, 50, 200], help="of images")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--seen", type=int, default=800, help="images that every run sees: steps times batch")
    parser.add_argument("--sides", nargs=2, type=int, default=[256, 320], help="short and long, torchvision and ours")
    parser.add_argument("--pixels", type=int, default=suggestion.PIXELS, help="of an image, at most, where suggested")
    parser.add_argument("--preset", default="mask_rcnn_nuclei")
    augment = [["brightness", 0.2], ["contrast", 0.2], ["gamma", 0.3]]
    parser.add_argument("--augment", nargs="*", type=augmentation, default=augment, help="such as brightness=0.2")
    args = parser.parse_args(words)
    if set(args.rows) & set(SHARED) and not args.torch_python:
        parser.error("--torch_python is needed for torchvision, and for ours, which starts from its weights.")
    return args


def main():
    """Runs what has no line yet, and prints the tables."""
    args = arguments()
    check_settings(args)
    path = args.output / "runs.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    planned = [(row, number, seed) for seed in args.seeds for number in args.numbers for row in args.rows]
    for one in planned:
        if one in {(line["who"], line["n"], line["seed"]) for line in lines}:
            continue
        print(f"{one[0]}, {one[1]} images, seed {one[2]}: run {planned.index(one) + 1} of {len(planned)}", flush=True)
        lines.append(run(*one, args))
        with open(path, "a") as file:
            print(json.dumps(lines[-1]), file=file)
        write_atomically(args.output / "table.md", tables(lines))
    print(tables(lines))


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that a run that is at work ends too
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    try:
        main()
    except (ValueError, RuntimeError) as error:
        sys.exit(f"small_data: {error}")
