"""`mrcnn_shapes`: synthetic scenes with exact masks, drawn once and cached as a TFDS dataset.

Six classes told apart by shape alone, over textured backgrounds, up to half of each object occluded or cut off by the
border. A scene depends on (seed, split, index) and nothing else; the splits draw from different random streams.
"""

import dataclasses
import hashlib
import io
import json
import os
import pathlib
from collections.abc import Iterable

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from pycocotools import mask as coco_mask

from mask_rcnn_tf.coco.keypoints import KeypointSet
from mask_rcnn_tf.config import Config, ShapesConfig
from mask_rcnn_tf.data import contents, preparation, shape_drawing

SPLITS = ("train", "val")
VERSION = "1.0.0"  # raise it when the same options draw other scenes

# Of OKS. Labels are exact, but where a round shape ends is a matter of its last row: half of a fingertip's, as
# `keypoint_rcnn_glue_tubes` has it
SIGMA = 0.05


def draw_scene(options: ShapesConfig, split: str, index: int) -> dict[str, np.ndarray]:
    """Draws one scene with its annotations, objects from the lowest to the topmost.

    Args:
      options: sizes, counts and the seed.
      split: "train" or "val".
      index: 0-based number of the scene in its split.

    Returns:
      `image` uint8 [S, S, 3] RGB, `image_id` int64 (index + 1), `boxes` float32 [g, 4] tight on the visible mask,
      `classes` int32 [g], `masks` bool [g, S, S] (the visible pixels), `keypoints` float32 [g, J, 3] (x, y, v),
      continuous pixels of the scene; v is 2 visible, 1 covered by a later object, 0 outside (x = y = 0).
    """
    rng = np.random.default_rng([options.seed, SPLITS.index(split), index])
    counts, sides = (options.min_objects, options.max_objects), (options.min_side, options.max_side)
    shapes, owner = shape_drawing.place_shapes(rng, options.size, counts, sides)
    masks = owner == np.arange(len(shapes), dtype=owner.dtype)[:, None, None]
    return {
        "image": shape_drawing.paint(rng, options.size, shapes),
        "image_id": np.int64(index + 1),
        "boxes": np.stack([_tight_box(mask) for mask in masks]),
        "classes": np.array([shape.class_id for shape in shapes], np.int32),
        "masks": masks,
        "keypoints": np.stack([_keypoints(shape.points, owner, order) for order, shape in enumerate(shapes)])[
            :, : options.num_keypoints
        ],
    }


def _tight_box(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1], np.float32)


def _keypoints(points: np.ndarray, owner: np.ndarray, order: int) -> np.ndarray:
    rows, columns = np.floor(points).astype(int).T
    size = len(owner)
    inside = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
    on_top = owner[rows.clip(0, size - 1), columns.clip(0, size - 1)] <= order
    visibility = np.where(inside, 1 + on_top, 0)
    return np.concatenate([points[:, ::-1] * inside[:, None], visibility[:, None]], axis=1).astype(np.float32)


def run_lengths(mask: np.ndarray) -> np.ndarray:
    """Uncompressed COCO RLE of a bitmap [h, w]: int32 counts in column order, the first run is of zeros."""
    flat = np.asarray(mask, np.int8).ravel(order="F")
    changes = np.flatnonzero(np.diff(flat, prepend=0, append=1 - flat[-1]))  # `append` closes the last run
    return np.diff(changes, prepend=0).astype(np.int32)


@dataclasses.dataclass
class ShapesBuilderConfig(tfds.core.BuilderConfig):
    """The options of a cached dataset; build it with `builder_config`."""

    options: ShapesConfig = dataclasses.field(default_factory=ShapesConfig)


def builder_config(options: ShapesConfig) -> ShapesBuilderConfig:
    """Names the options by their hash, so that scenes of other options are never read by mistake."""
    drawn = dataclasses.asdict(options)
    del drawn["one_class"]  # a matter of reading
    name = hashlib.sha256(json.dumps(drawn, sort_keys=True).encode()).hexdigest()[:12]
    return ShapesBuilderConfig(
        name=f"shapes{options.size}_{name}", options=dataclasses.replace(options, one_class=False)
    )


class MrcnnShapes(tfds.core.GeneratorBasedBuilder):
    """The TFDS builder `mrcnn_shapes`."""

    VERSION = tfds.core.Version(VERSION)
    BUILDER_CONFIGS = []

    def _info(self) -> tfds.core.DatasetInfo:
        options = self.builder_config.options
        features = {
            "image": tfds.features.Image(shape=(options.size, options.size, 3), encoding_format="png"),
            "image_id": tfds.features.Tensor(shape=(), dtype=np.int64),
            "boxes": tfds.features.Tensor(shape=(None, 4), dtype=np.float32),
            "classes": tfds.features.Tensor(shape=(None,), dtype=np.int32),
            "mask_counts": tfds.features.Tensor(shape=(None,), dtype=np.int32),  # of all objects, one after another
            "mask_lengths": tfds.features.Tensor(shape=(None,), dtype=np.int32),  # how many counts each object has
        }
        if options.num_keypoints:
            features["keypoints"] = tfds.features.Tensor(shape=(None, options.num_keypoints, 3), dtype=np.float32)
        return self.dataset_info_from_configs(
            description="Synthetic scenes of textured shapes with exact instance masks.",
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing is downloaded
        options = self.builder_config.options
        return {
            "train": self._generate_examples("train", options.train_scenes),
            "val": self._generate_examples("val", options.val_scenes),
        }

    def _generate_examples(self, split: str, num_scenes: int):
        options = self.builder_config.options
        for index in range(num_scenes):
            scene = draw_scene(options, split, index)
            counts = [run_lengths(mask) for mask in scene.pop("masks")]
            scene["mask_counts"] = np.concatenate(counts)
            scene["mask_lengths"] = np.array([len(item) for item in counts], np.int32)
            # noise hardly compresses: level 1 saves 29 % of the file, for three times the time to write and to read it
            scene["image"] = io.BytesIO(tf.io.encode_png(scene["image"], compression=0).numpy())
            if not options.num_keypoints:
                del scene["keypoints"]
            yield index, scene


def _prepared(config: Config) -> MrcnnShapes:
    """The builder, after drawing the scenes where the cache does not hold them yet."""
    options = config.data.shapes
    keypoints(config)  # raises where the options do not fit
    wanted = builder_config(options)
    builder = preparation.prepare(
        lambda: MrcnnShapes(config=wanted, data_dir=config.data.data_dir or None),
        f"mrcnn_shapes/{wanted.name}/{VERSION}",
        config.data.data_dir,
    )
    contents.record_use(builder.data_dir)
    return builder


def _scenes(config: Config, split: str) -> tf.data.Dataset:
    """What is stored: images as PNG, run lengths of all masks one after another."""
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; allowed: {', '.join(map(repr, SPLITS))}.")
    # one file after another: the order of the scenes is that of their numbers
    order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False, skip_prefetch=True)
    encoded = {"image": tfds.decode.SkipDecoding()}
    return _prepared(config).as_dataset(split=split, shuffle_files=False, read_config=order, decoders=encoded)


def dataset(config: Config, split: str) -> tf.data.Dataset:
    """The scenes of a split in order, drawn and cached under `config.data.data_dir` on first use.

    Args:
      config: uses `data.shapes` and `data.data_dir`.
      split: "train" or "val".

    Returns:
      A finite dataset of records with encoded images, see `data.records`.

    Raises:
      ValueError: the split is unknown, or the options ask for what cannot be drawn.
    """

    side, one_class = tf.constant(config.data.shapes.size), config.data.shapes.one_class

    def as_record(scene):
        record = scene | {"height": side, "width": side}
        record["classes"] = tf.ones_like(scene["classes"]) if one_class else scene["classes"]
        record["mask_counts"] = tf.RaggedTensor.from_row_lengths(scene["mask_counts"], record.pop("mask_lengths"))
        return record

    return _scenes(config, split).map(as_record)


def ground_truth(config: Config, split: str) -> dict:
    """The annotations of a split as a COCO dictionary, masks as compressed RLE.

    Args:
      config: uses `data.shapes` and `data.data_dir`.
      split: "train" or "val".

    Returns:
      A dict with `images`, `annotations` (ids from 1) and `categories`, ready for pycocotools and for JSON.
    """
    scenes = _scenes(config, split).as_numpy_iterator()
    lengths = ((scene, np.cumsum(scene["mask_lengths"])[:-1]) for scene in scenes)
    return _coco_dictionary(config, split, ((scene, np.split(scene["mask_counts"], ends)) for scene, ends in lengths))


def write_folder(config: Config, split: str, folder: str | os.PathLike, count: int | None = None) -> None:
    """Writes scenes as PNG files, and `annotations.json` in COCO's format, without the cache.

    Args:
      config: uses `data.shapes`.
      split: "train" or "val".
      folder: is made; must not exist, or be empty.
      count: the first scenes of the split; None for all.

    Raises:
      ValueError: the folder holds something or cannot be written, or there are not so many scenes.
    """
    options, folder = config.data.shapes, pathlib.Path(folder)
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; allowed: {', '.join(map(repr, SPLITS))}.")
    available = num_examples(config, split)
    count = available if count is None else count
    if not 1 <= count <= available:
        raise ValueError(f"count is {count}; allowed: 1 to {available}, the scenes of {split!r}.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ValueError(f"output is '{folder}'; it is not empty. Allowed: a new folder.")
        scenes = []
        for index in range(count):
            scene = draw_scene(options, split, index)
            image = tf.io.encode_png(scene.pop("image")).numpy()
            (folder / _file_name(split, index + 1)).write_bytes(image)
            if not keypoints(config).count:
                del scene["keypoints"]
            scenes.append((scene, [run_lengths(mask) for mask in scene.pop("masks")]))
        (folder / "annotations.json").write_text(json.dumps(_coco_dictionary(config, split, scenes)))
    except OSError as error:
        raise ValueError(f"output is '{folder}'; it cannot be written: {error.strerror}.") from None


def _file_name(split: str, image_id: int) -> str:
    return f"{split}_{image_id:06d}.png"


def _coco_dictionary(config: Config, split: str, scenes: Iterable[tuple[dict, list[np.ndarray]]]) -> dict:
    """Scenes, each with the run lengths of its masks."""
    size = config.data.shapes.size
    images, annotations = [], []
    for scene, counts in scenes:
        image_id = int(scene["image_id"])
        images.append({"id": image_id, "file_name": _file_name(split, image_id), "height": size, "width": size})
        for position, runs in enumerate(counts):
            annotation = _annotation(scene, position, runs, size)
            annotation["category_id"] = 1 if config.data.shapes.one_class else annotation["category_id"]
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **annotation})
    category = {"supercategory": "shape"}
    if keypoints(config).count:
        found = keypoints(config)
        joined = [[first + 1, second + 1] for first, second in found.skeleton]  # COCO counts them from 1
        category |= {"keypoints": list(found.names), "skeleton": joined, "sigmas": list(found.sigmas)}
    ids, names = categories(config)
    listed = [{"id": number, "name": name, **category} for number, name in zip(ids, names, strict=True)]
    return {"images": images, "annotations": annotations, "categories": listed}


def _annotation(scene: dict, position: int, runs: np.ndarray, size: int) -> dict:
    y1, x1, y2, x2 = scene["boxes"][position].tolist()
    encoded = coco_mask.frPyObjects({"size": [size, size], "counts": runs.tolist()}, size, size)
    annotation = {
        "category_id": int(scene["classes"][position]),
        "segmentation": {"size": [size, size], "counts": encoded["counts"].decode("utf-8")},
        "area": int(runs[1::2].sum()),
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "iscrowd": 0,
    }
    if "keypoints" in scene:
        points = scene["keypoints"][position]
        visibility = points[:, 2:]
        whole = np.concatenate([(points[:, :2] - 0.5) * (visibility > 0), visibility], axis=1)  # COCO's pixel indices
        annotation["keypoints"] = whole.ravel().tolist()
        annotation["num_keypoints"] = int((visibility > 0).sum())
    return annotation


def categories(config: Config) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Category ids 1..C and class names, in the order of classes 1..C."""
    if config.data.shapes.one_class:
        return (1,), ("shape",)
    return tuple(range(1, len(shape_drawing.CLASS_NAMES) + 1)), shape_drawing.CLASS_NAMES


def images(config: Config, split: str) -> tuple[tuple[int, int, int], ...]:
    """(id, height, width) of the scenes of a split, in order."""
    return tuple((image["id"], image["height"], image["width"]) for image in ground_truth(config, split)["images"])


def num_examples(config: Config, split: str) -> int:
    """How many scenes a split has."""
    return {"train": config.data.shapes.train_scenes, "val": config.data.shapes.val_scenes}[split]


def digest(config: Config, split: str) -> str:
    """Scenes have no file; `data.shapes` says all of them."""
    del config, split
    return ""


def category_ids(config: Config, split: str) -> tuple[int, ...]:
    """The category ids 1..C, the same in every split."""
    del split
    return categories(config)[0]


def check(config: Config) -> dict:
    """The annotations of "val"; there is nothing to judge: scenes are drawn, not read."""
    return ground_truth(config, "val")


def keypoints(config: Config) -> KeypointSet:
    """The keypoints of an object: the first J of `shape_drawing.KEYPOINT_NAMES`.

    They are places in the image: a mirror exchanges left and right, one on its side top and bottom.

    Raises:
      ValueError: more are asked for than the shapes have, or a flip needs one that is not among them.
    """
    count = config.data.shapes.num_keypoints
    if not 0 <= count <= len(shape_drawing.KEYPOINT_NAMES):
        raise ValueError(
            f"config.data.shapes.num_keypoints is {count}; allowed: 0 to {len(shape_drawing.KEYPOINT_NAMES)}"
            f" ({', '.join(shape_drawing.KEYPOINT_NAMES)})."
        )
    names = shape_drawing.KEYPOINT_NAMES[:count]
    for flip, pair in (("flip_horizontal", ("right", "left")), ("flip_vertical", ("top", "bottom"))):
        if getattr(config.data, flip) and sum(name in names for name in pair) == 1:
            raise ValueError(
                f"config.data.{flip} is True; allowed with {count} keypoints of shapes ({', '.join(names)}): False, "
                f"{' is not '.join(pair)}, or a num_keypoints with both of them."
            )
    skeleton = tuple(pair for pair in shape_drawing.SKELETON if max(pair) < count)
    vertical = ((names.index("top"), names.index("bottom")),) if "bottom" in names else ()
    return KeypointSet(count, names, skeleton, (SIGMA,) * count, vertical)
