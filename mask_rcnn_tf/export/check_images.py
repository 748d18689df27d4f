"""Images that an export is checked on."""

import os
from collections.abc import Sequence

import numpy as np

from mask_rcnn_tf.arguments import check_kind
from mask_rcnn_tf.config import ModelConfig, ShapesConfig
from mask_rcnn_tf.data import shape_drawing
from mask_rcnn_tf.evaluation.image_files import find_images, read_image
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.pixels import RGB, PixelKind, of_kind

SEED = 20170320  # scenes that no training run draws: those start from config.data.shapes.seed
# (h, w) in shares of the short side: as it is, landscape, portrait, and one so long that the long side decides.
FORMATS = ((1.0, 1.0), (0.75, 1.0), (1.0, 0.75), (0.45, 1.0))


def drawn_scenes(config: ModelConfig, count: int = 4) -> list[np.ndarray]:
    """Synthetic scenes, the same each time, of sizes that the model's preprocessing enlarges a little or not at all.

    Args:
      config: the model's; its `preprocess` says the size.
      count: how many; every four have a square, a landscape, a portrait and a panorama.

    Returns:
      Images of `config.preprocess.pixels`.
    """
    side = config.preprocess.short_side
    # The same shares of the scene as in `ShapesConfig`.
    usual = ShapesConfig()
    sides = tuple(max(8, round(bound * side / usual.size)) for bound in (usual.min_side, usual.max_side))
    scenes = []
    for index in range(count):
        rng = np.random.default_rng([SEED, index])
        shapes, _ = shape_drawing.place_shapes(rng, side, (usual.min_objects, usual.max_objects), sides)
        height, width = (round(share * side) for share in FORMATS[index % len(FORMATS)])
        top, left = (side - height) // 2, (side - width) // 2
        picture = shape_drawing.paint(rng, side, shapes)[top : top + height, left : left + width].copy()
        scenes.append(of_kind(picture, config.preprocess.pixels))
    return scenes


def images_to_compare(config: ModelConfig, images: Sequence[np.ndarray] | None) -> list[np.ndarray]:
    """The images that an exporter was given, or drawn ones; wrong ones are refused before minutes of work.

    Args:
      config: the model's.
      images: of `config.preprocess.pixels`; None: `drawn_scenes`.

    Raises:
      ExportError: it is no list of such arrays, or an empty one.
    """
    return drawn_scenes(config) if images is None else _checked(config, images, "images", "one or more, or None")


def calibration_images(
    config: ModelConfig, calibration: Sequence[np.ndarray] | None, images: list[np.ndarray]
) -> list[np.ndarray]:
    """The images whose activations give the ranges of int8, or those that are compared; see `images_to_compare`."""
    if calibration is None:
        return images
    return _checked(config, calibration, "calibration", "at least one image, better some tens, or None")


def _checked(config, images, name, allowed):
    kind = config.preprocess.pixels
    check_kind(name, images, (list, tuple), f"a list of arrays {kind}, or None", ExportError)
    if not images:
        raise ExportError(f"{name} is []; allowed: {allowed}.")
    for i, image in enumerate(images):
        check_kind(f"{name}[{i}]", image, np.ndarray, f"an array {kind}", ExportError)
        if fault := kind.fault(image):
            raise ExportError(f"{name}[{i}] is {fault}; allowed: {kind}.")
    return list(images)


def read_folder(folder: str | os.PathLike, limit: int | None = None, kind: PixelKind = RGB) -> list[np.ndarray]:
    """Image files of a folder, sorted by name.

    Args:
      folder: what `evaluation.image_files.find_images` takes: a folder, a file or a glob pattern.
      limit: the most that are read, the first ones; None for all.
      kind: `preprocess.pixels` of the model.

    Returns:
      The images.

    Raises:
      ExportError: there are none, or one does not decode.
    """
    try:
        return [read_image(file.path, None, kind) for file in find_images(os.fspath(folder))[:limit]]
    except ValueError as error:
        raise ExportError(str(error)) from None
