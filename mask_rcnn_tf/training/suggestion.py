"""A configuration from the data: sizes, anchors, counts, batch and schedule, each with the reason in words.

They are rules of thumb around `mask_rcnn_small`, in the spirit of nnU-Net (Isensee et al., arXiv:1809.10486): what the
data decides is read off it, what it does not stays as the preset has it. Nothing of it is searched by training.
"""

import dataclasses
import math
import pprint
from typing import Any

import numpy as np

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.pixels import RGB
from mask_rcnn_tf.presets import load_config
from mask_rcnn_tf.training.data_statistics import Statistics
from mask_rcnn_tf.training.pixel_statistics import PixelStatistics

BASE = "mask_rcnn_small"
PIXELS = 384 * 640  # of an image in the network, padded: what two CPU cores train on in an afternoon
SMALL_OBJECT = 20.0  # pixels in the network that the smallest tenth of the objects should have: five cells of P2
FEW = 0.05  # of the images
SHORTEST = 256  # pixels; smaller images are not shrunk: masks of large objects lose their outline
ENLARGED = 2.0  # at most; beyond it nothing is seen that was not before
LONGEST = 2.0  # long side by short side; longer images are shrunk as a whole
STRIDES = (4, 8, 16, 32, 64)  # of P2 to P6
SIZES_OF_STRIDE = 3.0, 8.0  # sides of a level's anchors, in strides of the level
RATIOS = ((1.0,), (0.5, 1.0, 2.0), (0.25, 0.5, 1.0, 2.0, 4.0))
FITTING_IOU = 0.6  # of a box and the anchor of the best shape around its centre
TURNS, FEWEST_IMAGES, MOST_IMAGES = 60, 8000, 24_000  # times an image is seen; images that are seen in a run
REPEATED = 20  # times an image is seen, from where on it is shown in several sizes
SIGMA = 0.05  # of keypoints, where nothing says
IN_MEMORY = 1e9  # bytes of decoded images


@dataclasses.dataclass(frozen=True)
class Setting:
    """One field of a configuration (`data.max_gt`), the value that is suggested, and why."""

    field: str
    value: Any
    reason: str


def suggest(
    statistics: Statistics, any_direction: bool = False, pixels: int = PIXELS, levels: PixelStatistics | None = None
) -> list[Setting]:
    """What of `mask_rcnn_small` should be otherwise for some data.

    Args:
      statistics: of the training images.
      any_direction: whether images have no up and down (microscopy, from above, parts on a table).
      pixels: of a padded image in the network, at most: time and memory grow with them.
      levels: of the training images; None: they are RGB of 8 bits.

    Returns:
      The settings, in the order in which they are decided.
    """
    base = load_config(BASE)
    mixed = _mixed(statistics, any_direction)
    short_side, max_side, settings = _sizes(statistics, pixels, square=mixed)
    settings += _canvases(short_side, max_side, mixed, _seen(statistics) / statistics.num_images)
    settings += _anchors(statistics.boxes_at(short_side, max_side))
    settings += _counts(statistics)
    settings += _schedule(statistics, max_side**2 if mixed else short_side * max_side, levels)
    settings += _tasks(statistics) + _levels(levels)
    if any_direction:
        settings.append(Setting("data.right_angles", True, "the images have no up and down, as you said"))
    return [setting for setting in settings if _get(base, setting.field) != setting.value]


def configured(settings: list[Setting]) -> Config:
    """`mask_rcnn_small` with the settings."""
    config = load_config(BASE)
    config.name = "suggested"
    for setting in settings:
        section, _, leaf = setting.field.rpartition(".")
        setattr(_get(config, section), leaf, setting.value)
    return config.validate()


def as_preset(settings: list[Setting], about: str) -> str:
    """The text of a Python file for `--config` that gives what `configured` gives.

    Args:
      settings: from `suggest`.
      about: of the data, for the file's first lines; may be of a stranger.
    """
    lines = [repr(f"Suggested by `mrcnn suggest` for {about}."), ""]
    lines += ["from mask_rcnn_tf.presets import load_config", "", ""]
    lines += ["def get_config():", f"    config = load_config({BASE!r})", "    config.name = 'suggested'"]
    for setting in settings:
        value = pprint.pformat(setting.value, width=10_000)
        lines += [f"    # {' '.join(setting.reason.split())}", f"    config.{setting.field} = {value}"]
    return "\n".join([*lines, "    return config", ""])


def _get(config: Any, path: str) -> Any:
    for name in path.split("."):
        config = getattr(config, name)
    return config


def _scales(boxes: np.ndarray) -> np.ndarray:
    """Sides of squares with the areas of boxes [n, 2]."""
    return np.sqrt(boxes.prod(1))


def _rounded(value: float, step: int) -> int:
    return max(step, step * round(value / step))


def _up(value: float, step: int) -> int:
    return max(step, step * math.ceil(value / step - 1e-9))


def _mixed(statistics: Statistics, any_direction: bool) -> bool:
    """Whether there are lying and standing images, more than a few of either."""
    height, width = statistics.images.T
    lying, standing = float(np.mean(width > height)), float(np.mean(height > width))
    return (lying + standing if any_direction else min(lying, standing)) > FEW


def _sizes(statistics: Statistics, pixels: int, square: bool) -> tuple[int, int, list[Setting]]:
    """Short and long side in the network, and the settings; padded to a square, or to those sides."""
    sides = statistics.short_side
    small = float(np.quantile(_scales(statistics.boxes_at(sides)), 0.1))
    wanted = min(SMALL_OBJECT / small, ENLARGED)
    longest = min(float(np.quantile(statistics.aspects, 0.95)), LONGEST)
    affordable = math.sqrt(pixels / longest ** (2 if square else 1)) / sides
    scale = min(max(wanted, min(1.0, SHORTEST / sides)), affordable)
    short_side = _rounded(scale * sides, 32)
    max_side = _up(short_side * longest, 32)
    bound = f"{pixels} pixels do not allow more" if scale == affordable else "enough to outline them"
    reason = (
        f"images have a short side of {sides:.0f} pixels in the median, and nine of ten objects are larger than "
        f"{small:.0f}: at this size {small * short_side / sides:.0f}, {bound}"
    )
    few = f"so long is the long side of nearly all images, which are up to {longest:.2f} times as long as wide"
    settings = [
        Setting("model.preprocess.short_side", short_side, reason),
        Setting("model.preprocess.max_side", max_side, few),
    ]
    return short_side, max_side, settings


def _seen(statistics: Statistics) -> int:
    """Images of a run."""
    return min(max(TURNS * statistics.num_images, FEWEST_IMAGES), MOST_IMAGES)


def _canvases(short_side: int, max_side: int, mixed: bool, turns: float) -> list[Setting]:
    """A batch has images of one canvas. Where these are of one kind, as of one camera, batch norm learns each alone."""
    if turns >= REPEATED:
        sides = tuple(8 * round(share * short_side / 8) for share in (5 / 6, 11 / 12, 1))
        why_sides = f"an image is seen {turns:.0f} times, so in several sizes"
    else:
        sides, why_sides = (short_side,), f"an image is seen {turns:.0f} times, so in the size in which it is predicted"
    if mixed:
        canvases = ((max_side, max_side),)
        why = "lying, standing and square images are mixed in every batch: batch norm learns what it will be used on"
    elif max_side == short_side:
        canvases, why = ((short_side, short_side),), "all images are nearly square"
    else:
        canvases = ((short_side, max_side), (max_side, short_side))
        why = "nearly all images lie, or stand: there is little padding"
    return [
        Setting("data.train_short_sides", sides, why_sides),
        Setting("data.canvases", canvases, why),
    ]


def _anchors(boxes: np.ndarray) -> list[Setting]:
    """Of boxes float64 [n, 2] (h, w) in pixels of the network."""
    scales = _scales(boxes)
    low, high = np.quantile(scales, (0.05, 0.98))
    steps = low * (max(high / low, 1.0) ** (np.arange(5) / 4))
    bounds = [(stride * SIZES_OF_STRIDE[0], stride * SIZES_OF_STRIDE[1]) for stride in STRIDES]
    sizes = tuple(float(round(np.clip(step, *bound))) for step, bound in zip(steps, bounds, strict=True))
    shares = [fitting_share(boxes, sizes, ratios) for ratios in RATIOS]
    best = next(i for i, share in enumerate(shares) if share >= shares[-1] - 0.02)
    fit = f"{shares[best]:.0%} of the objects have the shape of an anchor (IoU of {FITTING_IOU} or more)"
    objects = f"objects have sides of {low:.0f} to {high:.0f} pixels in the network (geometric mean of their sides)"
    return [
        Setting("model.anchors.sizes", tuple((size,) for size in sizes), objects),
        Setting("model.anchors.ratios", RATIOS[best], f"{fit}; with more ratios {shares[-1]:.0%}"),
    ]


def fitting_share(boxes: np.ndarray, sizes: tuple[float, ...], ratios: tuple[float, ...]) -> float:
    """The share of boxes that overlap the best of all anchors, placed on their centre, by `FITTING_IOU` or more.

    Args:
      boxes: float64 [n, 2] (h, w), pixels.
      sizes: sides of the anchors, pixels.
      ratios: height / width.
    """
    anchors = np.array([(size * math.sqrt(ratio), size / math.sqrt(ratio)) for size in sizes for ratio in ratios])
    inside = np.minimum(boxes[:, None], anchors).prod(2)
    union = boxes.prod(1)[:, None] + anchors.prod(1) - inside
    return float(np.mean((inside / union).max(1) >= FITTING_IOU))


def _counts(statistics: Statistics) -> list[Setting]:
    most, usual = int(statistics.counts.max()), float(np.quantile(statistics.counts, 0.9))
    crowded = f"the fullest image has {most} objects"
    detections = min(max(_up(1.5 * most, 50), 50), 500)
    proposals = min(max(_up(3 * most, 50), 100), 1000)
    samples = 32 if usual <= 8 else 64 if usual <= 40 else 128
    nine = f"nine of ten images have {usual:.0f} objects or fewer"
    settings = [
        Setting("data.max_gt", min(max(most, 8), 1000), crowded),
        Setting("model.detection.max_detections", detections, crowded),
        Setting("model.rpn.post_nms_top_n_train", proposals, f"{crowded}, and each is proposed several times"),
        Setting("model.rpn.post_nms_top_n_test", proposals, "the same after training"),
        Setting("model.roi.samples", samples, nine),
        Setting("model.rpn.samples", 2 * samples, nine),
    ]
    if detections > 100:
        settings.append(Setting("eval.max_dets", (1, 10, detections), "all that is found counts in AP"))
    return settings


def _schedule(statistics: Statistics, pixels: int, levels: PixelStatistics | None) -> list[Setting]:
    batch = 8 if pixels <= 1.5 * 192**2 else 4
    steps = _up(_seen(statistics) / batch, 100)
    turns = steps * batch / statistics.num_images
    why = f"{statistics.num_images} training images are seen {turns:.0f} times"
    settings = [
        Setting("train.batch_size", batch, f"images have up to {pixels} pixels in the network"),
        Setting("train.steps", steps, why),
        Setting("train.evaluate_every", _up(steps / 4, 25), "four times in the run"),
        Setting("train.checkpoint_every", _up(steps / 8, 25), "twice as often"),
        Setting("data.shuffle_buffer", min(statistics.num_images, 1000), "all of them, or a thousand"),
        Setting("eval.batch_size", batch, "as in training"),
    ]
    if batch == 8:
        settings.append(Setting("train.learning_rate", 2e-3, "small images, as in mask_rcnn_shapes"))
    kind = levels.kind if levels else RGB
    decoded = statistics.pixels * kind.channels * kind.dtype.itemsize
    if decoded <= IN_MEMORY:
        settings.append(Setting("data.cache", True, f"decoded images take {decoded / 1e6:.0f} MB"))
    return settings


def _levels(levels: PixelStatistics | None) -> list[Setting]:
    """What images of other kinds than RGB need; of RGB the preset's mean and deviation do for all."""
    if levels is None or levels.kind.is_rgb:
        return []
    kind, prefix = levels.kind, "model.preprocess"
    settings = [
        Setting(f"{prefix}.channels", kind.channels, f"the images have {kind.channels}"),
        Setting(f"{prefix}.bits", kind.bits, f"the images have {kind.bits}, and all are kept"),
        Setting(f"{prefix}.mean", levels.mean, f"of each channel, in {levels.num_images} images"),
        Setting(f"{prefix}.std", levels.std, "the standard deviation of each channel there"),
    ]
    if kind.bits == 16:
        settings.append(Setting(f"{prefix}.round_resized", False, "16 bits are resized without rounding"))
    return settings


def _tasks(statistics: Statistics) -> list[Setting]:
    settings = []
    if not statistics.has_masks:
        settings.append(Setting("model.mask_head.enabled", False, "the annotations are boxes without masks"))
    if statistics.num_keypoints:
        reason = f"the objects have {statistics.num_keypoints} keypoints"
        values = {"enabled": True, "num_keypoints": statistics.num_keypoints, "num_convs": 4, "channels": 128}
        settings += [Setting(f"model.keypoint_head.{name}", value, reason) for name, value in values.items()]
    if not statistics.has_sigmas:
        usual = (SIGMA,) * statistics.num_keypoints
        why = "how far people's labels scatter, as a share of an object's size; the file does not say, this is usual"
        settings.append(Setting("data.keypoint_sigmas", usual, why))
    return settings
