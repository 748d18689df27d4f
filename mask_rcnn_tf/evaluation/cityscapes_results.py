"""Results as Cityscapes' own programs and its server read them: a list an image, and a mask an object."""

import os
import pathlib
from collections import defaultdict

import numpy as np
from PIL import Image

from mask_rcnn_tf import whole_files
from mask_rcnn_tf.coco import rle
from mask_rcnn_tf.progress import Progress

IMAGE = "_leftImg8bit.png"


def write_results(ground_truth: dict, results: list[dict], folder: str | os.PathLike, verbose: int = 1) -> int:
    """Writes `<image>_pred.txt` for each image, a line an object: the PNG of its mask, its label, its score.

    Args:
      ground_truth: what `data.cityscapes.to_coco` gives; its `categories` have the dataset's label ids.
      results: COCO results with masks, as `coco.reader.read_results` reads them, of images of the former.
      folder: new or empty. Images without an object have an empty list, as the programs ask for.
      verbose: 0 hides the progress.

    Returns:
      How many masks were written.

    Raises:
      ValueError: the folder holds something, a result has no mask, another image or another category, or an image is
        not named as in Cityscapes.

    Source: cityscapesScripts, `evaluation/evalInstanceLevelSemanticLabeling.py`.
    """
    rows = _by_image(ground_truth, results)
    folder = pathlib.Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"output is '{folder}'; allowed: a folder that is to be, or an empty one.")
    folder.mkdir(parents=True, exist_ok=True)
    progress = Progress(len(rows), "image", verbose=verbose)
    for image in ground_truth["images"]:
        stem = pathlib.PurePosixPath(image["file_name"]).name.removesuffix(IMAGE)
        lines = [_write(row, image, folder, f"{stem}_{i}.png") for i, row in enumerate(rows[image["id"]])]
        with whole_files.replacing(folder / f"{stem}_pred.txt") as partial:
            partial.write_text("".join(lines))
        progress.add(1)
    return len(results)


def _by_image(ground_truth, results):
    rows, labels = defaultdict(list), {category["id"] for category in ground_truth["categories"]}
    for image in ground_truth["images"]:
        if not image["file_name"].endswith(IMAGE):
            raise ValueError(f"image {image['file_name']!r}; allowed: names that end in {IMAGE}.")
        rows[image["id"]] = []
    for number, row in enumerate(results):
        if row["image_id"] not in rows or row["category_id"] not in labels or "segmentation" not in row:
            raise ValueError(
                f"results[{number}] has image_id {row['image_id']}, category_id {row['category_id']} and "
                f"{'a' if 'segmentation' in row else 'no'} mask; allowed: images and categories of the annotations, "
                "with a mask."
            )
        rows[row["image_id"]].append(row)
    return rows


def _write(row, image, folder, name):
    height, width = image["height"], image["width"]
    mask = rle.bitmap(rle.runs_of_rle(row["segmentation"], height, width), height, width)
    Image.fromarray(mask.astype(np.uint8) * 255).save(folder / name)
    return f"{name} {row['category_id']} {float(row['score'])!r}\n"
